/** Words of the pages: what every page says: navigation, times, states. */
import { many } from './many.ts'

export const shell = {
  product: 'Sallyport',
  nav: {
    label: 'Pages',
    home: 'Home',
    requests: 'Requests',
    grants: 'Grants',
    sessions: 'Sessions',
    skip: 'Skip to the page',
    waiting: (count: number) => `${many(count, 'request waits', 'requests wait')} for your decision`,
    toDark: 'Switch to dark colours',
    toLight: 'Switch to light colours',
    signOut: 'Sign out',
    signedInAs: 'Signed in as',
    lineDown: 'Not connected to the gateway. What you see may be old.',
  },
  time: {
    justNow: 'just now',
    left: 'left',
    until: 'until',
    over: 'over',
    endsAt: (utc: string) => `Ends ${utc}`,
    minutes: (count: number) => `${count} min`,
    hours: (count: number) => `${count} h`,
  },
  state: {
    loading: 'Loading…',
    offline: 'The gateway does not answer.',
    offlineNext: 'Look at your network, then try again.',
    broken: (code: string) => `The gateway gave an answer that this page does not understand (${code}).`,
    reference: (reference: string) => `Reference for your operators: ${reference}`,
    again: 'Try again',
    notFound: 'There is no such page',
    notFoundText: 'The address may be mistyped, or the thing may not be for you to see.',
    toHome: 'Go to Home',
    crashed: 'This page broke',
    crashedText:
      'Nothing happened to your access. Load the page again; if it breaks again, tell your operators what you did.',
    notFetched: 'This page could not be loaded',
    notFetchedText: 'The gateway does not answer, or it has been updated since you opened this window.',
    reload: 'Load again',
  },
  copy: { copy: (what: string) => `Copy: ${what}`, copied: 'Copied', short: 'Copy' },
  protocol: { ssh: 'SSH', postgres: 'PostgreSQL', http: 'Web' },
} as const

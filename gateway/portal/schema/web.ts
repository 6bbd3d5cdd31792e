/** The words of the API about web targets, and of the way there from a page of ours. */
import { z } from 'zod'
import { confirmation } from './passkeys.ts'
import { grantId } from './wire.ts'

/** The page that asks for the touch of a passkey: `?target=&grant=&returnTo=&state=`. */
export const WEB_TOUCH_PATH = '/web-touch'

export const webTarget = z.string().regex(/^[a-z][a-z0-9-]{0,62}$/)
/** What a target's name gave the browser that it sent here, to come back with. */
export const wayBack = {
  returnTo: z.string().max(4096),
  state: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
}

export const visitBody = z.strictObject({ target: webTarget, grant: grantId, ...wayBack, confirmation })
/** Where the browser goes now: good once, within a minute, in the browser that was sent here. */
export const webVisit = z.strictObject({ onward: z.string() })

export type WebVisit = z.infer<typeof webVisit>

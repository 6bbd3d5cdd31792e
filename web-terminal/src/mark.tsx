/** Drawn by hand: the mark (a double gate with somebody inside) and the few icons that the pages need. */

/** Two gates in a wall; the inner one is closed. */
export function Mark(): React.JSX.Element {
  return (
    <svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true" className="mark">
      <path
        d="M3 29V8h4V4h4v4h3V4h4v4h3V4h4v4h4v21"
        fill="none"
        stroke="currentColor"
        strokeWidth="2.4"
        strokeLinejoin="round"
        strokeLinecap="round"
      />
      <path
        d="M8.5 29V20a7.5 7.5 0 0 1 15 0v9"
        fill="none"
        stroke="currentColor"
        strokeWidth="2.4"
        strokeLinecap="round"
      />
      <path d="M12.6 29v-8.4a3.4 3.4 0 0 1 6.8 0V29z" fill="currentColor" />
    </svg>
  )
}

const shapes = {
  home: 'M4 11l8-7 8 7v9h-5v-6H9v6H4z',
  requests: 'M4 5h16v11H10l-4 4v-4H4zM8.5 10.5l2.5 2.5 4.5-4.5',
  grants: 'M14 10a4.5 4.5 0 1 0-4.2 4.5L12 17h2v2h2v2h4v-3l-6.2-6.2M8.5 9.5h.01',
  sessions: 'M3 5h18v13H3zM7 9l3 2.5L7 14M12.5 14H17',
  admin:
    'M4 7h9M17 7h3M4 12h3M11 12h9M4 17h11M19 17h1M15 5a2 2 0 1 0 0 4 2 2 0 0 0 0-4zM9 10a2 2 0 1 0 0 4 2 2 0 0 0 0-4zM17 15a2 2 0 1 0 0 4 2 2 0 0 0 0-4z',
  find: 'M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L21 21',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2.5M12 19.5V22M2 12h2.5M19.5 12H22M5 5l1.8 1.8M17.2 17.2L19 19M5 19l1.8-1.8M17.2 6.8L19 5',
  moon: 'M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z',
  out: 'M14 4H5v16h9M10 12h11M17 8l4 4-4 4',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  play: 'M7 4.5v15l12-7.5z',
  pause: 'M7 5h3.5v14H7zM13.5 5H17v14h-3.5z',
  restart: 'M5 5v14M19 5v14l-10-7z',
  terminal: 'M3 5h18v14H3zM7 9.5l3 2.5-3 2.5M12.5 15H17',
  plus: 'M12 5v14M5 12h14',
  close: 'M6 6l12 12M18 6L6 18',
  split: 'M3 5h18v14H3zM12 5v14',
  search: 'M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L21 21',
  settings: 'M4 7h10M18 7h2M16 5v4M4 17h2M10 17h10M8 15v4',
  files: 'M12 15V4M7 8.5L12 4l5 4.5M4 20h16M4 16v4M20 16v4',
  download: 'M12 4v11M7 10.5l5 5 5-5M4 20h16',
} as const

export type IconName = keyof typeof shapes

export function Icon({ name, size = 18 }: { readonly name: IconName; readonly size?: number }): React.JSX.Element {
  const solid = name === 'play' || name === 'pause'
  return (
    <svg
      viewBox="0 0 24 24"
      width={size}
      height={size}
      aria-hidden="true"
      fill={solid ? 'currentColor' : 'none'}
      stroke={solid ? 'none' : 'currentColor'}
      strokeWidth="1.8"
      strokeLinecap="round"
      strokeLinejoin="round"
    >
      <path d={shapes[name]} />
    </svg>
  )
}

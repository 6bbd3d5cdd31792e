/** Words about statements that wait for a second person. */

export const held = {
  label: (who: string, what: string, where: string) => `${who} asks to let ${what} run once on ${where}`,
  asks: 'asks to let',
  once: 'run once on',
  runs: 'What would run',
  normalised: 'The same without comments',
  database: 'Database',
  directory: 'Directory',
  tables: 'Tables',
  parameters: 'Parameters',
  hidden: 'The role does not let values be seen.',
  rows: 'Rows, as the target estimates',
  most: 'Limit',
  limit: (rows: number) => `Rolled back when it touches more than ${rows} rows.`,
  uncounted: 'Rows of such a statement cannot be counted: no limit holds.',
  plan: 'How the target would do it',
  under: 'Under',
  approve: 'Let it run once',
  letThrough: (who: string, request: string) => `Let through by ${who} (request ${request})`,
}

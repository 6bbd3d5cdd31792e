/** Every word that the pages say, one file per area, so that another language is another folder like this one. */
import { access } from './access.ts'
import { admin } from './admin.ts'
import { held } from './held.ts'
import { kept } from './kept.ts'
import { person } from './person.ts'
import { sessions } from './sessions.ts'
import { shell } from './shell.ts'
import { sql } from './sql.ts'
import { terminal } from './terminal.ts'

export const words = { ...shell, ...access, ...admin, ...person, ...sessions, ...terminal, held, kept, sql } as const

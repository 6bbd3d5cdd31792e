/** Runs in a process of its own: becomes ClickHouse. The call returns when standard input ends, which is when the parent does. */
import { DataType, load, open } from 'ffi-rs'

const [library = '', ...args] = process.argv.slice(2)
open({ library: 'chdb', path: library })
load({
  library: 'chdb',
  funcName: 'query_stable_v2',
  retType: DataType.External,
  paramsType: [DataType.I32, DataType.StringArray],
  paramsValue: [args.length + 1, ['clickhouse-local', ...args]],
})
process.exit(0)

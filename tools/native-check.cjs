// Loads the addon named on the command line and lets its objects die young, many times: an unsound build aborts here and not in production.
const path = require('node:path')

const { ChaChaPolyDecipher } = require(path.resolve(process.argv[2]))

const key = Buffer.alloc(64, 1)
let last
for (let round = 0; round < 50; round++) {
  for (let i = 0; i < 20; i++) last = new ChaChaPolyDecipher(key)
  const rubbish = []
  for (let i = 0; i < 2000; i++) rubbish[i % 100] = Buffer.from(`${i} ${rubbish.length}`).toJSON()
}
last?.free()

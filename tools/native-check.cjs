// Loads the addon named on the command line and lets its objects die young, many times: an unsound build aborts here and not in production.
const { resolve } = require('node:path')

const { ChaChaPolyDecipher } = require(resolve(process.argv[2]))

const key = Buffer.alloc(64, 1)
for (let round = 0; round < 50; round++) {
  for (let i = 0; i < 20; i++) new ChaChaPolyDecipher(key)
  const rubbish = []
  for (let i = 0; i < 2000; i++) rubbish[i % 100] = new Array(200).fill(i)
}

'use strict'

const { existsSync } = require('node:fs')
const { join } = require('node:path')

/** The file that `build.js` makes, one for each platform. */
const file = join(__dirname, `gastown.${process.platform}-${process.arch}.node`)

if (!existsSync(file)) {
  throw new Error(`gastown is not built: ${file} is missing; run \`make build-node\` in the repository, or \`npm run build\` in the package`)
}

module.exports = require(file)

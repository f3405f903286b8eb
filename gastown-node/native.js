'use strict'

/** The file that `build.js` makes, one for each platform. */
const file = `gastown.${process.platform}-${process.arch}.node`

module.exports = require(`./${file}`)

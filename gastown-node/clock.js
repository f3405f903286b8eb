'use strict'

const { refused, toNative } = require('./convert.js')
const native = require('./native.js')

/** The native clock, with the numbers checked that it would round in silence. */
class ManualClock extends native.ManualClock {
  constructor(now) {
    super(micros({ now }))
  }

  set(now) {
    super.set(micros({ now }))
  }

  advance(by) {
    super.advance(micros({ by }))
  }
}

function micros(given) {
  toNative(given)
  const [[name, value]] = Object.entries(given)
  if (!Number.isInteger(value)) {
    throw refused('value_range', [name], 'is not a whole number of microseconds')
  }
  return value
}

module.exports = { ManualClock }

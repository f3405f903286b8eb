'use strict'

const { ManualClock } = require('./clock.js')
const { GastownError } = require('./error.js')
const { version } = require('./package.json')
const { Handle, Town, mergeBeads } = require('./town.js')

const { open, restore } = Town

module.exports = { GastownError, Handle, ManualClock, Town, mergeBeads, open, restore, version }

'use strict'

const { GastownError } = require('./error.js')
const { Town } = require('./town.js')
const { version } = require('./package.json')

module.exports = { GastownError, Town, version }

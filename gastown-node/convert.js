'use strict'

const { GastownError } = require('./error.js')
const { OPAQUE, toCamel, toSnake } = require('./names.js')

/** How deep arrays and objects may be nested. */
const DEPTH_MAX = 64

/** Fields that are bytes: base64 on their way out of the core. */
const BYTES = new Set(['bytes'])

const INT_MIN = -(2n ** 63n)
const INT_MAX = 2n ** 63n - 1n

/** Checks a call's input and gives its keys the names of the core: `issueType` becomes `issue_type`. */
function toNative(input) {
  if (!isRecord(input)) {
    throw refused('value_type', [], 'is not an object')
  }
  return convertIn(input, [], false)
}

function convertIn(value, path, opaque) {
  if (path.length > DEPTH_MAX) {
    throw refused('value_depth', path, `is nested deeper than ${DEPTH_MAX}`)
  }
  switch (typeof value) {
    case 'string':
      if (!value.isWellFormed()) {
        throw refused('value_text', path, 'is not Unicode text (a lone surrogate)')
      }
      return value
    case 'boolean':
      return value
    case 'number':
      // From 2 ** 64 on a number can be meant as a fraction only.
      if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value) < 2 ** 64)) {
        throw refused('value_range', path, 'is not a finite number whose integers are exact; use a BigInt')
      }
      // The native side takes a whole number beyond 32 bits for a fraction; a time in microseconds is one.
      return Number.isSafeInteger(value) && Math.abs(value) > 0x7fff_ffff ? BigInt(value) : value
    case 'bigint':
      if (value < INT_MIN || value > INT_MAX) {
        throw refused('value_range', path, 'is not a 64-bit integer')
      }
      return value
    case 'object':
      break
    default:
      throw refused('value_type', path, `is a ${typeof value}, which JSON cannot hold`)
  }
  if (value === null) {
    return null
  }
  if (Array.isArray(value)) {
    return Array.from(value, (item, index) => convertIn(item, [...path, index], opaque))
  }
  if (!isRecord(value)) {
    throw refused('value_type', path, 'is not a plain object')
  }
  return convertRecord(value, path, opaque)
}

function convertRecord(record, path, opaque) {
  const converted = {}
  for (const [key, item] of Object.entries(record)) {
    if (item === undefined) {
      continue
    }
    if (!opaque && key.includes('_')) {
      throw refused('field_name', path, `has the field ${key}, which is written ${toCamel(key)}`)
    }
    define(converted, opaque ? key : toSnake(key), convertIn(item, [...path, key], opaque || OPAQUE.has(key)))
  }
  return converted
}

/** Gives an answer's keys their names in JavaScript: `issue_type` becomes `issueType`. */
function fromNative(value) {
  return convertOut(value, false)
}

function convertOut(value, opaque) {
  if (Array.isArray(value)) {
    return value.map((item) => convertOut(item, opaque))
  }
  if (value === null || typeof value !== 'object') {
    return value
  }
  const converted = {}
  for (const [key, item] of Object.entries(value)) {
    // The native half marks `__proto__`, which would otherwise become the object's prototype.
    const name = key.startsWith('\0') ? key.slice(1) : key
    const isBytes = !opaque && BYTES.has(name) && typeof item === 'string'
    const converts = isBytes ? Buffer.from(item, 'base64') : convertOut(item, opaque || OPAQUE.has(name))
    define(converted, opaque ? name : toCamel(name), converts)
  }
  return converted
}

/** Sets a property even where its name is `__proto__`. */
function define(record, key, value) {
  Object.defineProperty(record, key, { value, enumerable: true, configurable: true, writable: true })
}

function isRecord(value) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    return false
  }
  const prototype = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

function refused(code, path, what) {
  const place = path.length === 0 ? 'argument' : path.slice(0, 8).join('.')
  return new GastownError({ kind: 'invalid', code, message: `${place} ${what}`, facts: { path: place } })
}

module.exports = { fromNative, refused, toNative }

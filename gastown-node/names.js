'use strict'

/** Fields whose content is the caller's own: its keys are never re-cased. */
const OPAQUE = new Set([
  'after',
  'before',
  'checkpoint',
  'columns',
  'data',
  'dropped',
  'extra',
  'facts',
  'kept',
  'metadata',
  'problem',
  'repairs',
  'row',
  'settings',
])

function toSnake(key) {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

function toCamel(key) {
  return key.replace(/_([a-z0-9])/g, (_, letter) => letter.toUpperCase())
}

/** The name of a part of an input, such as `beads[0].due_at`; what is inside an opaque field is the caller's. */
function toCamelPath(path) {
  const parts = path.split('.')
  const inner = parts.findIndex((part) => OPAQUE.has(part.replace(/\[.*$/, ''))) + 1
  return parts.map((part, index) => (inner > 0 && index >= inner ? part : toCamel(part))).join('.')
}

module.exports = { OPAQUE, toCamel, toCamelPath, toSnake }

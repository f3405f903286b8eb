'use strict'

const { toCamelPath } = require('./names.js')

/** Any failure of the library: what to do about it (`kind`), a stable `code`, and the `facts`. */
class GastownError extends Error {
  constructor({ kind, code, message, chain = message, facts = {} }) {
    super(message)
    this.name = 'GastownError'
    this.kind = kind
    this.code = code
    this.chain = chain
    this.facts = facts
  }
}

/** A native promise whose rejection is a `GastownError`. */
async function settle(promise) {
  try {
    return await promise
  } catch (error) {
    throw translated(error)
  }
}

/** What a native function answers; what it throws is a `GastownError`. */
function translating(call) {
  try {
    return call()
  } catch (error) {
    throw translated(error)
  }
}

/** The native half puts the whole error, as JSON, in the message; its own refusal of an argument has a code only. */
function translated(error) {
  if (error instanceof GastownError) {
    return error
  }
  try {
    return new GastownError(named(JSON.parse(error.message)))
  } catch {
    if (/Expected$|^InvalidArg$/.test(error.code)) {
      return new GastownError({ kind: 'invalid', code: 'value_type', message: `an argument is of the wrong type: ${error.message}` })
    }
    return error
  }
}

/** An error with the names that fields have here: `dueAt` where the core says `due_at`. */
function named(error) {
  const { field } = error.facts
  if (field === undefined) {
    return error
  }
  const here = toCamelPath(field)
  let message = error.message.replace(`${field}: `, `${here}: `)
  if (/(unknown|missing) field `/.test(message)) {
    message = message.replace(/`([a-z_]+)`/g, (_, name) => `\`${toCamelPath(name)}\``)
  }
  return { ...error, message, facts: { ...error.facts, field: here } }
}

module.exports = { GastownError, settle, translating }

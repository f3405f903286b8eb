'use strict'

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

/** The native half puts the whole error, as JSON, in the message. */
function translated(error) {
  try {
    return new GastownError(JSON.parse(error.message))
  } catch {
    return error
  }
}

module.exports = { GastownError, settle }

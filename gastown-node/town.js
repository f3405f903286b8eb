'use strict'

const { fromNative, toCamel, toNative } = require('./convert.js')
const { settle } = require('./error.js')

/** An open town: a group for each noun, a method for each operation of the core's table. */
class Town {
  #native

  constructor(native, operations) {
    this.#native = native
    this.events = {
      watch: (options) => watch(this.#native, options),
    }
    for (const name of operations) {
      const [noun, verb] = name.split('.').map(toCamel)
      this[noun] ??= {}
      this[noun][verb] = (input = {}, options = {}) => this.#call(name, input, options)
    }
  }

  async #call(name, input, { signal } = {}) {
    signal?.throwIfAborted()
    const answer = settle(this.#native.call(name, toNative(input)))
    return fromNative(await (signal === undefined ? answer : unlessAborted(answer, signal)))
  }
}

/** Rejects with the signal's reason when it comes first; what was begun runs to its end all the same. */
async function unlessAborted(answer, signal) {
  let abort
  const aborted = new Promise((_, reject) => {
    abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
  })
  try {
    return await Promise.race([answer, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/** Yields every event after `since`, then each new one as it is journaled, until the loop is left. */
async function* watch(native, options = {}) {
  const { signal, ...input } = options
  signal?.throwIfAborted()
  const events = native.watch(toNative(input).since)
  const close = () => events.close()
  signal?.addEventListener('abort', close, { once: true })
  try {
    for (;;) {
      const event = await settle(events.next())
      if (event === null) {
        signal?.throwIfAborted()
        return
      }
      yield fromNative(event)
    }
  } finally {
    signal?.removeEventListener('abort', close)
    events.close()
  }
}

module.exports = { Town }

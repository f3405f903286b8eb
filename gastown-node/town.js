'use strict'

const { fromNative, toNative } = require('./convert.js')
const { settle, translating } = require('./error.js')
const { toCamel } = require('./names.js')
const native = require('./native.js')
const { join } = require('node:path')

/** The field that an input given as plain text is, by the type of the input. */
const ALONE = {
  AgentHistoryOf: 'name',
  AgentRef: 'name',
  AttenuateCapability: 'token',
  BeadPatch: 'id',
  BeadQuery: 'query',
  BeadSearch: 'text',
  BeadRef: 'id',
  ChildrenOf: 'id',
  Claim: 'by',
  CloseBead: 'id',
  CommentsOf: 'bead',
  DeleteBead: 'id',
  EdgesOf: 'id',
  EffectRef: 'id',
  ExportBeads: 'path',
  HistoryOf: 'id',
  ImportBeads: 'path',
  MendRow: 'id',
  NewBead: 'title',
  OutputQuery: 'session',
  QuarantineRef: 'id',
  RegisterAgent: 'name',
  ReleaseBead: 'id',
  ReopenBead: 'id',
  RevokeCapability: 'id',
  RigRef: 'name',
  SessionRef: 'id',
  Sling: 'bead',
  SyncBeads: 'path',
  TreeOf: 'id',
  Unreserve: 'bead',
  WriteTo: 'path',
}

/** A town through one scope: a group for each noun, a method for each operation of the core's table. */
class Handle {
  #native

  constructor(handle, operations = native.operationsTable()) {
    this.#native = handle
    this.events = { watch: (options) => watch(this.#native, options) }
    this.sessions = { follow: (given, options) => follow(this.#native, given, options) }
    for (const { name, input } of operations) {
      const [noun, verb] = name.split('.').map(toCamel)
      this[noun] ??= {}
      this[noun][verb] = (given = {}, options = {}) =>
        this.call(name, typeof given === 'string' && input in ALONE ? { [ALONE[input]]: given } : given, options)
    }
  }

  async call(name, input, { signal, key } = {}) {
    signal?.throwIfAborted()
    const answer = settle(translating(() => this.#native.call(name, toNative(input), key)))
    return fromNative(await (signal === undefined ? answer : unlessAborted(answer, signal)))
  }
}

/** An open town; its operations are the operator's. */
class Town extends Handle {
  #town

  constructor(town) {
    super(town.operator())
    this.#town = town
  }

  static async open(dir, { clock, ...options } = {}) {
    const beside = join(__dirname, 'bin')
    return new Town(await settle(translating(() => native.open(dir, toNative(options), clock, beside))))
  }

  static restore(source, dir, options = {}) {
    return Town.open(dir, { ...options, restore: source })
  }

  get id() {
    return this.#town.id
  }

  get dir() {
    return this.#town.dir
  }

  rig(name) {
    return new Handle(translating(() => this.#town.rig(name)))
  }

  user(name) {
    return new Handle(translating(() => this.#town.user(name)))
  }

  async withToken(token) {
    return new Handle(await settle(translating(() => this.#town.withToken(token))))
  }

  async session(id) {
    return new Handle(await settle(translating(() => this.#town.session(id))))
  }

  async start() {
    await settle(this.#town.start())
  }

  async serve() {
    await settle(this.#town.serve())
  }

  async stop() {
    await settle(this.#town.stop())
  }

  async drain(drain) {
    await settle(translating(() => this.#town.drain(toNative(drain))))
  }

  async close() {
    await settle(this.#town.close())
  }

  async replay() {
    return fromNative(await settle(this.#town.replay()))
  }

  health() {
    return this.upkeep.health()
  }

  backup(path) {
    return this.upkeep.backup(path)
  }
}

if (Symbol.asyncDispose !== undefined) {
  Town.prototype[Symbol.asyncDispose] = Town.prototype.close
}

/** Brings two files of issues together that grew out of a third; no town is needed. */
async function mergeBeads(input) {
  return fromNative(await settle(translating(() => native.mergeBeads(toNative(input)))))
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
async function* watch(handle, options = {}) {
  const { signal, ...input } = options
  signal?.throwIfAborted()
  toNative(input)
  yield* items(translating(() => handle.watch(input.since ?? 0)), signal)
}

/** Yields a session's output from `after` on, a page at a time, until it has ended or the loop is left. */
async function* follow(handle, given, { signal } = {}) {
  signal?.throwIfAborted()
  const query = toNative(typeof given === 'string' ? { [ALONE.OutputQuery]: given } : given)
  yield* items(translating(() => handle.follow(query)), signal)
}

/** Yields what a native watch gives; closes it however the loop is left. */
async function* items(events, signal) {
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

module.exports = { Handle, Town, mergeBeads }

'use strict'

const assert = require('node:assert/strict')
const { spawnSync } = require('node:child_process')
const { join } = require('node:path')
const { test } = require('node:test')
const { GastownError, version } = require('..')
const { probe } = require('../native.js')
const { Handle } = require('../town.js')

const KINDS = ['not_found', 'invalid', 'conflict', 'forbidden', 'unavailable', 'exhausted', 'corrupt', 'unsupported', 'internal']
const open = () => new Handle(probe())

test('every kind of error has its kind, code and facts', async () => {
  for (const kind of KINDS) {
    const error = await open().call('probe.fail', { kind }).catch((error) => error)
    assert.ok(error instanceof GastownError && error instanceof Error)
    assert.deepEqual([error.kind, error.code, error.facts], [kind, 'probe_failed', { bead: 'gt-a3f9k' }])
    assert.equal(error.message, 'the probe was told to fail')
    assert.equal(error.chain, 'the probe was told to fail: the cause')
  }
})

test('the package can be imported as a module', async () => {
  const gastown = await import('gastown')
  assert.equal(gastown.GastownError, GastownError)
  assert.equal(gastown.version, version)
})

test('the journal is an async iterator that ends when the loop is left', async () => {
  const seen = []
  for await (const event of open().events.watch({ since: 7 })) {
    seen.push(event.seq)
    if (seen.length === 3) break
  }
  assert.deepEqual(seen, [8, 9, 10])
})

test('an abort ends a watch that waits', async () => {
  const controller = new AbortController()
  const reason = new Error('enough')
  const seen = []
  await assert.rejects(async () => {
    for await (const event of open().events.watch({ signal: controller.signal })) {
      seen.push(event.seq)
      if (seen.length === 3) setImmediate(() => controller.abort(reason))
    }
  }, reason)
  assert.deepEqual(seen, [1, 2, 3])
})

test('an abort ends the waiting for a call', async () => {
  const controller = new AbortController()
  const answer = open().call('probe.echo', { n: 1 }, { signal: controller.signal })
  controller.abort()
  await assert.rejects(answer, { name: 'AbortError' })
  await assert.rejects(open().call('probe.echo', {}, { signal: AbortSignal.abort() }), { name: 'AbortError' })
})

test('a sequence number that is no integer is refused', async () => {
  await assert.rejects(open().events.watch({ since: Infinity }).next(), { kind: 'invalid', code: 'value_range' })
})

test('the console script runs the program', () => {
  const ended = spawnSync(process.execPath, [join(__dirname, '..', 'bin', 'cli.js'), '--version'], { encoding: 'utf8' })
  assert.equal(ended.status, 0, ended.stderr)
})

'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { town: opened } = require('./parts.js')

test('a watch wakes on a later event', async (t) => {
  const { town } = await opened(t)
  const journal = town.events.watch({ since: 1 })
  const waiting = journal.next()
  const bead = await town.beads.create('x')
  const { value: event } = await waiting
  assert.deepEqual([event.seq, event.kind, event.subject, event.actor], [2, 'bead.created', bead.id, 'operator'])
  assert.deepEqual(event.data, { kind: 'issue', title: 'x' })
  // Rows are shown as they are stored.
  assert.ok('issue_type' in event.changes.find(({ table }) => table === 'bead').row)
  await journal.return()
})

test('an abort ends a watch that waits', async (t) => {
  const { town } = await opened(t)
  const controller = new AbortController()
  const reason = new Error('enough')
  const journal = town.events.watch({ since: 1, signal: controller.signal })
  const waiting = journal.next()
  setImmediate(() => controller.abort(reason))
  await assert.rejects(waiting, reason)
  assert.deepEqual(await journal.next(), { done: true, value: undefined })
  await assert.rejects(town.events.watch({ signal: AbortSignal.timeout(1), since: 1 }).next(), { name: 'TimeoutError' })
})

test('a watch ends when the town is closed', async (t) => {
  const { town } = await opened(t)
  const waiting = town.events.watch({ since: 1 }).next()
  await town.close()
  assert.deepEqual(await waiting, { done: true, value: undefined })
})

test('a place that is none is refused', async (t) => {
  const { town } = await opened(t)
  for (const [since, code] of [[-1, 'value_range'], [2 ** 53, 'value_range'], ['1', 'value_type']]) {
    await assert.rejects(town.events.watch({ since }).next(), { kind: 'invalid', code })
  }
})

test('a rig does not see the whole journal', async (t) => {
  const { town } = await opened(t)
  await assert.rejects(town.rig('harbour').events.watch().next(), {
    kind: 'forbidden',
    code: 'scope_too_narrow',
    facts: { principal: 'rig/harbour' },
  })
})

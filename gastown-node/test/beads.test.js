'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { GastownError } = require('..')
const { town: opened } = require('./parts.js')

const ids = (page) => page.beads.map((bead) => bead.id)

test('beads are made, linked, listed and closed, and the journal tells it', async (t) => {
  const { town } = await opened(t)
  const metadata = { camelCase: { a_b: [1, null] }, snake_case: true }
  const keel = await town.beads.create({ title: 'Lay the keel', priority: 1, issueType: 'chore', labels: ['hull'], metadata })
  const mast = await town.beads.create({ title: 'Raise the mast', dependsOn: [keel.id] })
  const sails = await town.beads.create('Sew the sails')
  assert.deepEqual([keel.metadata, keel.issueType, keel.createdBy], [metadata, 'chore', 'operator'])
  assert.deepEqual(await town.beads.link({ bead: sails.id, onBead: mast.id }), { changed: true })
  assert.deepEqual(await town.beads.link({ bead: sails.id, onBead: mast.id }), { changed: false })
  assert.deepEqual(ids(await town.beads.ready()), [keel.id])
  assert.equal((await town.beads.get(mast.id)).blockers, 1)
  assert.deepEqual(await town.beads.get({ id: mast.id }), await town.beads.get(mast.id))

  const closed = await town.beads.close({ id: keel.id, resolution: 'completed', reason: 'it lies' })
  assert.deepEqual([closed.bead.status, closed.bead.resolution], ['closed', 'completed'])
  assert.deepEqual([closed.changed, closed.unblocked], [true, [mast.id]])
  assert.deepEqual(ids(await town.beads.ready()), [mast.id])
  assert.deepEqual(await town.beads.edges(mast.id), {
    dependsOn: [{ bead: mast.id, onBead: keel.id, kind: 'blocks' }],
    dependents: [{ bead: sails.id, onBead: mast.id, kind: 'blocks' }],
    cursor: null,
  })
  const first = await town.beads.edges({ id: mast.id, limit: 1 })
  assert.deepEqual([first.dependsOn.length, first.dependents.length], [1, 0])
  const rest = await town.beads.edges({ id: mast.id, cursor: first.cursor })
  assert.deepEqual([rest.dependsOn.length, rest.dependents.length, rest.cursor], [0, 1, null])
  assert.deepEqual(await town.beads.unlink({ bead: sails.id, onBead: mast.id }), { changed: true })

  const kinds = []
  for await (const event of town.events.watch()) {
    kinds.push(event.kind)
    if (event.kind === 'dependency.removed') break
  }
  assert.deepEqual(kinds, [
    'town.founded',
    ...Array(3).fill('bead.created'),
    'dependency.added',
    'bead.closed',
    'dependency.removed',
  ])
  await assert.rejects(town.beads.get('hq-none'), { kind: 'not_found', code: 'bead_missing', facts: { bead: 'hq-none' } })
})

test('a circle is refused and shown', async (t) => {
  const { town } = await opened(t)
  const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((title) => town.beads.create(title)))
  await town.beads.link({ bead: b.id, onBead: a.id })
  await town.beads.link({ bead: c.id, onBead: b.id, kind: 'blocks' })
  const error = await town.beads.link({ bead: a.id, onBead: c.id }).catch((error) => error)
  assert.ok(error instanceof GastownError)
  assert.equal(error.code, 'cycle')
  assert.equal(error.facts.cycle, `${a.id} -> ${c.id} -> ${b.id} -> ${a.id}`)
})

test('a repeated key gives the first answer', async (t) => {
  const { town } = await opened(t)
  const first = await town.beads.create('once', { key: 'k1' })
  assert.deepEqual(await town.beads.create('once', { key: 'k1' }), first)
  assert.deepEqual(ids(await town.beads.list()), [first.id])
  await assert.rejects(town.beads.create('twice', { key: 'k1' }), { kind: 'conflict', code: 'idempotency_key_reused' })
  await assert.rejects(town.beads.create('x', { key: 7 }), { kind: 'invalid', code: 'value_type' })
})

test('a stale version is refused', async (t) => {
  const { town } = await opened(t)
  const bead = await town.beads.create({ title: 'x', metadata: { a: 1, b: 2 } })
  const patch = { id: bead.id, expectedVersion: bead.version, notes: 'n', metadata: { a: null, c: 3 } }
  const newer = await town.beads.update(patch)
  assert.deepEqual([newer.notes, newer.metadata], ['n', { b: 2, c: 3 }])
  await assert.rejects(town.beads.update({ ...patch, title: 'y' }), {
    code: 'version_mismatch',
    facts: { bead: bead.id, expected: '1', found: String(newer.version) },
  })
})

test('one of many claims a bead and gives it back', async (t) => {
  const { town } = await opened(t)
  const bead = await town.beads.create('x')
  const claims = Array.from({ length: 16 }, (_, n) => town.beads.claim({ by: `person${n}`, id: bead.id, leaseMs: 60_000 }))
  const answers = await Promise.allSettled(claims)
  assert.equal(answers.filter(({ status }) => status === 'fulfilled').length, 1)
  assert.deepEqual(new Set(answers.flatMap(({ reason }) => reason?.code ?? [])), new Set(['bead_held']))
  const released = await town.beads.release(bead.id)
  assert.deepEqual([released.status, released.assignee], ['open', null])
  assert.equal((await town.beads.claim('tess')).id, bead.id)
})

test('a patch leaves, clears and sets', async (t) => {
  const { town } = await opened(t)
  const bead = await town.beads.create({ title: 'x', owner: 'olga', dueAt: 7, labels: ['a'], specId: 'docs/x.md' })
  const patch = { id: bead.id, owner: null, dueAt: undefined, pinned: true, addLabels: ['b'], appendNotes: 'n' }
  const patched = await town.beads.update(patch)
  assert.deepEqual([patched.owner, patched.dueAt, patched.specId, patched.pinned], [null, 7, 'docs/x.md', true])
  assert.deepEqual([patched.labels, patched.notes], [['a', 'b'], 'n'])
  await assert.rejects(town.beads.update({ id: bead.id, title: null }), { code: 'field_not_clearable' })
})

test('a plan is made whole', async (t) => {
  const { town } = await opened(t)
  const { beads } = await town.beads.createMany({
    beads: [
      { key: 'ship', bead: { title: 'Build a ship', issueType: 'epic' } },
      { key: 'keel', bead: { title: 'Lay the keel' }, partOf: 'ship' },
      { key: 'mast_1', bead: { title: 'Raise the mast', metadata: { a_b: 1 } }, partOf: 'ship' },
    ],
    links: [{ bead: 'mast_1', onBead: 'keel' }],
  })
  const made = new Map(beads.map(({ key, id }) => [key, id]))
  assert.deepEqual(ids(await town.beads.ready()), [made.get('keel')])
  const unknown = { beads: [{ key: 'a', bead: { title: 'a' } }], links: [{ bead: 'a', onBead: '!' }] }
  await assert.rejects(town.beads.createMany(unknown), { code: 'key_unknown' })
})

test('comments are added, listed and deleted', async (t) => {
  const { town } = await opened(t)
  const bead = await town.beads.create('x')
  const comment = await town.beads.comment({ bead: bead.id, text: 'so be it', author: 'tess' })
  assert.deepEqual(await town.beads.comments(bead.id), { comments: [comment], cursor: null })
  assert.deepEqual(await town.beads.deleteComment({ bead: bead.id, id: comment.id }), { changed: true })
})

test('a bead is renamed, moved and deleted', async (t) => {
  const { town } = await opened(t)
  await town.beads.create({ title: 'x', id: 'hq-old' })
  const { renamed } = await town.beads.rename({ id: 'hq-old', to: 'hq-new' })
  assert.deepEqual(renamed, [{ old: 'hq-old', new: 'hq-new' }])
  await assert.rejects(town.beads.moveToRig({ id: 'hq-new', rig: 'none' }), { code: 'rig_missing' })
  assert.deepEqual(await town.beads.delete('hq-new'), { deleted: ['hq-new'], unblocked: [] })
  await assert.rejects(town.beads.get('hq-old'), (error) => error.facts.moved_to === 'hq-new')
})

test('a claim is renewed and filtered', async (t) => {
  const { town } = await opened(t)
  await town.beads.create({ title: 'x', labels: ['hot'] })
  await town.beads.create({ title: 'y', priority: 0, metadata: { tier_a: 1 } })
  const held = await town.beads.claim({ by: 'tess', leaseMs: 60_000, only: { labels: ['hot'] } })
  assert.equal(held.title, 'x')
  const { leaseUntil } = await town.beads.heartbeat({ id: held.id, by: 'tess', epoch: held.epoch, leaseMs: 600_000 })
  assert.ok(leaseUntil > held.leaseUntil)
  const page = await town.beads.ready({ sort: 'hybrid', priorityMax: 1, metadata: { tier_a: 1 } })
  assert.deepEqual(page.beads.map(({ title }) => title), ['y'])
  const listed = await town.beads.list({ labelRegex: '^h.t$' })
  assert.deepEqual(listed.beads.map(({ title }) => title), ['x'])
  await town.beads.create({ title: 'part', parent: held.id })
  const parts = await town.beads.ready({ parent: held.id, direct: true })
  assert.deepEqual(parts.beads.map(({ title }) => title), ['part'])
  await assert.rejects(town.beads.close({ id: held.id, expectedEpoch: held.epoch + 1 }), { code: 'epoch_stale' })
})

test('a closed bead can be opened again', async (t) => {
  const { town } = await opened(t)
  const { id } = await town.beads.create('x')
  await town.beads.close(id)
  assert.equal((await town.beads.reopen(id)).status, 'open')
})

test('pages follow one another', async (t) => {
  const { town } = await opened(t)
  for (const n of Array(5).keys()) await town.beads.create(`bead ${n}`)
  const seen = []
  let cursor = null
  do {
    const page = await town.beads.list({ limit: 2, cursor })
    seen.push(...ids(page))
    cursor = page.cursor
  } while (cursor !== null)
  assert.equal(new Set(seen).size, 5)
  assert.equal(seen.length, 5)
})

test('256 creates at once make 256 beads', async (t) => {
  const { town } = await opened(t)
  const beads = await Promise.all(Array.from({ length: 256 }, (_, n) => town.beads.create(`bead ${n}`)))
  assert.equal(new Set(beads.map((bead) => bead.id)).size, 256)
  assert.equal((await town.beads.list({ limit: 1000 })).beads.length, 256)
  assert.deepEqual((await town.replay()).differences, [])
})

const refused = [
  [{ title: 7 }, 'invalid', 'input_malformed', { operation: 'beads.create', input: 'NewBead' }],
  [{ title: null }, 'invalid', 'input_malformed'],
  [{ title: 'x', colour: 'red' }, 'invalid', 'input_malformed'],
  [{ title: 'x', issue_type: 'bug' }, 'invalid', 'field_name'],
  [{ title: 'x', priority: 2 ** 40 }, 'invalid', 'input_malformed'],
  [{ title: 'x', priority: 5 }, 'invalid', 'priority_out_of_range', { found: '5' }],
  [{ title: 'x', priority: NaN }, 'invalid', 'value_range', { path: 'priority' }],
  [{ title: 'x', dueAt: 2 ** 53 }, 'invalid', 'value_range', { path: 'dueAt' }],
  [{ title: 'x', dueAt: 1.5 }, 'invalid', 'input_malformed', { field: 'dueAt' }],
  [{ title: 'x', dueAt: new Date(0) }, 'invalid', 'value_type', { path: 'dueAt' }],
  [{ title: 'a\0b' }, 'invalid', 'title_malformed'],
  [{ title: '' }, 'invalid', 'title_malformed'],
  [{}, 'invalid', 'title_malformed'],
  [{ title: 'x'.repeat(501) }, 'invalid', 'title_malformed'],
  [{ title: '\ud800' }, 'invalid', 'value_text', { path: 'title' }],
  [{ title: 'x', labels: 'hull' }, 'invalid', 'input_malformed'],
  [{ title: 'x', labels: ['gt:x'] }, 'invalid', 'label_reserved'],
  [{ title: 'x', metadata: [] }, 'invalid', 'metadata_malformed'],
  [{ title: 'x', metadata: { a: new Map() } }, 'invalid', 'value_type', { path: 'metadata.a' }],
  [{ title: 'x', rig: '../etc' }, 'invalid', 'name_malformed', { found: '"../etc"', operation: 'beads.create' }],
  [{ title: 'x', rig: 'none' }, 'not_found', 'rig_missing', { rig: 'none' }],
  [{ title: 'x', dependsOn: ['hq-none'] }, 'not_found', 'bead_missing', { bead: 'hq-none' }],
]
test('a wrong input is a typed error', async (t) => {
  const { town } = await opened(t)
  for (const [input, kind, code, facts] of refused) {
    const error = await town.beads.create(input).catch((error) => error)
    assert.ok(error instanceof GastownError, `${JSON.stringify(input)}: ${error.stack ?? 'no error'}`)
    assert.deepEqual([error.kind, error.code], [kind, code], error.message)
    for (const [name, value] of Object.entries(facts ?? {})) assert.equal(error.facts[name], value)
  }
  assert.deepEqual(ids(await town.beads.list()), [])
})

test('a missing field and an unknown operation are typed errors', async (t) => {
  const { town } = await opened(t)
  await assert.rejects(town.beads.get(), { code: 'input_malformed', message: /missing field `id`/ })
  const unnamed = await town.beads.importFrom({ dryRun: true }).catch((error) => error)
  assert.deepEqual([unnamed.code, unnamed.facts.field], ['input_malformed', 'path'])
  const halved = await town.beads.createMany({ beads: [{ key: 'a', bead: { title: 'x', dueAt: 'soon' } }] }).catch((error) => error)
  assert.deepEqual([halved.code, halved.facts.field], ['input_malformed', 'beads[0].bead.dueAt'])
  assert.match(halved.message, /beads\[0\]\.bead\.dueAt: /)
  const unknown = await town.beads.create({ title: 'x', dueBy: 7 }).catch((error) => error)
  assert.equal(unknown.facts.field, 'dueBy')
  assert.match(unknown.message, /unknown field `dueBy`, expected one of .*`dueAt`/)
  await assert.rejects(town.beads.get(7), { kind: 'invalid', code: 'value_type' })
  await assert.rejects(town.call('beads.paint', {}), { kind: 'not_found', code: 'operation_unknown' })
  await assert.rejects(town.call(7, {}), { kind: 'invalid', code: 'value_type' })
  assert.equal((await town.call('beads.create', { title: 'x' }, { key: 'k' })).title, 'x')
})

test('a time in microseconds is a whole number on both sides', async (t) => {
  const { town } = await opened(t)
  const deferUntil = 4_000_000_000_000_000
  const bead = await town.beads.create({ title: 'later', deferUntil, metadata: { big: 2 ** 40, less: -(2 ** 40), half: 0.5 } })
  assert.equal(bead.deferUntil, deferUntil)
  assert.deepEqual((await town.beads.get(bead.id)).metadata, { big: 2 ** 40, less: -(2 ** 40), half: 0.5 })
})

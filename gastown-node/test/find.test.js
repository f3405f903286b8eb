'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { origin, town: opened } = require('./parts.js')

const ids = ({ beads }) => beads.map(({ id }) => id)

test('beads are found by queries and by words', async (t) => {
  const { town } = await opened(t)
  const keel = await town.beads.create({ title: 'Lay the keel', description: 'of red oak', priority: 1, labels: ['hull'] })
  const mast = await town.beads.create({ title: 'Raise the mast', description: 'behind the keel' })
  await town.beads.create({ title: 'Sew sails', priority: 4 })

  const query = 'priority <= 2 and not label = missing'
  assert.deepEqual(ids(await town.beads.query({ query, sort: 'priority' })), [keel.id, mast.id])
  const { beads, cursor } = await town.beads.query('description = oak or label = hull')
  assert.deepEqual([beads.map(({ title }) => title), cursor], [['Lay the keel'], null])
  await assert.rejects(town.beads.query('status = opn'), { code: 'query_malformed' })

  assert.deepEqual(ids(await town.beads.search('keel')), [keel.id, mast.id], 'what has it in the title comes first')
  const text = '"the keel" -oak'
  assert.deepEqual(ids(await town.beads.search({ text, sort: 'newest', query: 'priority = 2' })), [mast.id])
  await assert.rejects(town.beads.search('"open'), { code: 'search_malformed' })
})

test('beads are counted and compared', async (t) => {
  const { town } = await opened(t)
  const one = await town.beads.create({ title: 'Lay the keel', labels: ['hull'] })
  const two = await town.beads.create('Lay the keel')
  const near = await town.beads.create('Lay the keel now')
  const done = await town.beads.create('Done')
  await town.beads.close(done.id)

  const counts = await town.beads.count({ by: ['label'], query: 'status = open' })
  assert.deepEqual(counts, {
    total: 3,
    groups: [
      { values: [null], count: 2 },
      { values: ['hull'], count: 1 },
    ],
  })
  const { groups } = await town.beads.count({ by: ['creator', 'pinned'], metadata: ['team'] })
  assert.deepEqual(groups.map(({ values }) => values.slice(1)), [['false', null]])
  const stats = await town.beads.stats()
  assert.deepEqual([stats.total, stats.ready, stats.lead.issues], [4, 3, 1])
  assert.ok(stats.byStatus.some(({ status, count }) => status === 'closed' && count === 1))
  assert.equal((await town.beads.stale({ days: 0 })).beads.length, 3)
  assert.deepEqual(ids(await town.beads.stale()), [])
  const found = await town.beads.duplicates({ likeness: 0.7 })
  assert.deepEqual(found.same.map(({ beads }) => beads.sort()), [[one.id, two.id].sort()])
  assert.ok([found.near[0].one, found.near[0].other].includes(near.id))
})

test('what was is told', async (t) => {
  const { town } = await opened(t)
  const bead = await town.beads.create('Lay the keel')
  await town.beads.update({ id: bead.id, priority: 0, metadata: { some_key: 1 } })
  await town.beads.close(bead.id)
  const { entries, cursor, missingBefore } = await town.beads.history(bead.id)
  assert.deepEqual(entries.map(({ kind }) => kind), ['bead.created', 'bead.updated', 'bead.closed'])
  assert.deepEqual(entries[1].changes, [
    { field: 'metadata', before: {}, after: { some_key: 1 } },
    { field: 'priority', before: 2, after: 0 },
  ])
  assert.deepEqual([cursor, missingBefore], [null, null])
  const then = await town.beads.at({ seq: entries[0].seq })
  assert.deepEqual(then.beads.map(({ id, priority, status }) => [id, priority, status]), [[bead.id, 2, 'open']])
  await assert.rejects(town.beads.at({ seq: 99 }), { code: 'seq_beyond_head' })
})

test('paths are reserved', async (t) => {
  const { town, path } = await opened(t)
  const { name: rig } = await town.rigs.add({ name: 'harbour', remote: origin(path) })
  const hull = await town.beads.create({ title: 'Paint the hull', rig })
  const deck = await town.beads.create({ title: 'Scrub the deck', rig })
  const reserved = await town.reservations.add({ bead: hull.id, patterns: ['hull/**'], ttlMs: 60_000 })
  assert.deepEqual(reserved.reservations.map(({ pattern }) => pattern), ['hull/**'])
  assert.equal(reserved.isComplete, true)
  const { overlaps } = await town.reservations.add({ bead: deck.id, patterns: ['*/deck.md'] })
  assert.deepEqual(overlaps.map(({ reservation, example }) => [reservation.bead, example]), [[hull.id, 'hull/deck.md']])
  const asked = await town.reservations.overlaps({ rig, patterns: ['hull/a'], but: deck.id })
  assert.deepEqual(asked.overlaps.map(({ reservation }) => reservation.bead), [hull.id])
  assert.deepEqual(await town.reservations.remove(deck.id), { changed: true })
  assert.deepEqual((await town.reservations.list({ rig })).reservations.map(({ bead }) => bead), [hull.id])
  await town.beads.close(hull.id)
  assert.deepEqual((await town.reservations.list({ bead: hull.id })).reservations, [])
  await assert.rejects(town.reservations.overlaps({ rig, patterns: ['[open'] }), { code: 'pattern_malformed' })
})

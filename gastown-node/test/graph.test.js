'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { town: opened } = require('./parts.js')

test('the graph explains, plans and lists itself', async (t) => {
  const { town } = await opened(t)
  const keel = await town.beads.create({ title: 'Lay the keel', estimateMinutes: 10 })
  const ship = await town.beads.create({ title: 'Build the ship', issueType: 'epic', dependsOn: [keel.id] })
  const deck = await town.beads.create({ title: 'Plank the deck', parent: ship.id })
  const crew = await town.beads.create('Hire a crew')
  const gate = { bead: crew.id, onBead: ship.id, kind: 'waits-for', gate: 'any-children' }
  assert.deepEqual(await town.beads.link(gate), { changed: true })

  const told = await town.beads.explain(deck.id)
  assert.equal(told.isReady, false)
  assert.deepEqual(
    told.reasons.map(({ reason, bead, other, why }) => [reason, bead, other, why]),
    [
      ['parent', deck.id, ship.id, 'blocked'],
      ['edge', ship.id, keel.id, 'not_done'],
    ],
  )
  assert.equal((await town.beads.explain({ id: keel.id })).isReady, true)

  const page = await town.beads.children({ id: ship.id, all: true })
  assert.deepEqual(
    page.beads.map((bead) => [bead.id, bead.blockers]),
    [[deck.id, 1]],
  )
  const down = await town.beads.dependencies(deck.id)
  assert.deepEqual(
    down.nodes.map((node) => [node.id, node.depth, node.via]),
    [
      [ship.id, 1, deck.id],
      [keel.id, 2, ship.id],
    ],
  )
  const up = await town.beads.dependents({ id: keel.id, depth: 1 })
  assert.deepEqual([up.nodes.map((node) => node.id), up.more], [[ship.id], true])
  const { blocked } = await town.beads.blocked()
  assert.deepEqual(
    blocked.map((entry) => entry.bead.id),
    [ship.id, deck.id, crew.id],
  )
  assert.deepEqual(blocked[0].blockedBy, [{ id: keel.id, kind: 'blocks', status: 'open' }])
  const { epics } = await town.beads.epics()
  assert.deepEqual(
    epics.map((epic) => [epic.bead.id, epic.bead.openParts, epic.isClosable]),
    [[ship.id, 1, false]],
  )
  const plan = await town.beads.plan({ estimateMinutes: 5 })
  assert.deepEqual([plan.count, plan.widths, plan.minutes], [4, [1, 2, 1], 20])
  assert.deepEqual([plan.criticalPath[0], plan.unblocks[0].id], [keel.id, keel.id])
  assert.deepEqual(await town.beads.looseEdges(), { edges: [], cursor: null })
  assert.deepEqual((await town.beads.edges(crew.id)).dependsOn, [gate])

  const circle = [keel.id, deck.id, ship.id, keel.id].join(' -> ')
  await assert.rejects(town.beads.link({ bead: keel.id, onBead: deck.id }), (error) => {
    assert.deepEqual([error.code, error.facts.cycle], ['cycle', circle])
    return true
  })
  const { id } = await town.beads.create({ title: 'x', issueType: 'gate' })
  const typed = await town.beads.explain(id)
  assert.deepEqual([typed.isReady, ...typed.reasons.map(({ reason, text }) => [reason, text])], [false, ['type', 'gate']])
})

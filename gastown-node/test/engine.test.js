'use strict'

const assert = require('node:assert/strict')
const { mkdir } = require('node:fs/promises')
const { join } = require('node:path')
const { test } = require('node:test')
const { operationsTable } = require('../native.js')
const { git, origin, town: opened, until } = require('./parts.js')
const { check, checked } = require('./shape.js')

const WORKER = `
set -e
case "$GASTOWN_TITLE" in
wait*) exec sleep 600;;
esac
echo "$GASTOWN_TITLE" > "$GASTOWN_BEAD.txt"
git add -A
git commit -q -m "$GASTOWN_TITLE"
`
const settings = { 'agent.command': ['sh', '-c', WORKER], 'agent.environment': { MY_var: 'x' } }

test('a convoy lands, and every operation answers what index.d.ts declares', async (t) => {
  const { town: plain, path } = await opened(t)
  const called = new Set()
  const town = checked(plain, operationsTable(), called)
  const remote = origin(path)
  const rig = await town.rigs.add({ name: 'harbour', remote, settings, prefix: 'hb', target: 'main' })
  assert.deepEqual(await town.rigs.get('harbour'), rig)
  assert.deepEqual((await town.rigs.list()).rigs, [rig])
  assert.deepEqual(await town.rigs.configure({ rig: 'harbour', settings: { 'sessions.max': 4 } }), { changed: true })
  const toast = await town.agents.register({ name: 'toast', rig: 'harbour' })
  await town.agents.register({ name: 'nux', role: 'polecat', rig: 'harbour' })
  assert.deepEqual(await town.agents.get('toast'), toast)
  assert.equal((await town.agents.list({ rig: 'harbour', role: 'polecat' })).agents.length, 2)

  const tasks = [
    { title: 'lay the keel', metadata: { someKey: 1 } },
    { title: 'raise the mast', dependsOn: [0], labels: ['hull'], priority: 1 },
  ]
  const ship = { title: 'a ship', rig: 'harbour', tasks, onFailure: 'block' }
  const convoy = await town.convoys.sling(ship, { key: 'ship' })
  assert.deepEqual(await town.convoys.sling(ship, { key: 'ship' }), convoy)
  await plain.start()
  await until(plain, 'convoy.landed', convoy.id)
  const landed = await town.convoys.get(convoy.id)
  assert.deepEqual(
    [landed.state, landed.progress.closed, landed.landedOid],
    ['landed', 2, git(remote, 'rev-parse', 'main')],
  )
  assert.deepEqual((await town.convoys.list()).convoys, [landed])
  for (const id of landed.members) {
    assert.equal((await town.beads.get(id)).status, 'closed')
    const { sessions: [session, ...more] } = await town.sessions.list({ bead: id })
    assert.deepEqual([session.state, session.exit, more], ['ended', 'succeeded', []])
    const { output, ...known } = await town.sessions.get(session.id)
    assert.deepEqual({ ...known, output: null }, session)
    assert.deepEqual(output, { bytes: 0, droppedBytes: 0, isRemoved: false })
    const page = await town.sessions.output({ session: session.id, raw: true })
    assert.deepEqual([page.text, page.isFinal, page.bytes.length], ['', true, 0])
    await town.sessions.sweep()
    const { reviews: [review] } = await town.reviews.list({ source: id, state: 'merged' })
    assert.deepEqual(await town.reviews.get(review.id), review)
  }
  await assert.rejects(town.convoys.land(convoy.id), { kind: 'conflict' })
  assert.equal((await town.upkeep.health()).engine.state, 'running')
  assert.equal((await town.upkeep.status()).leader.epoch, 1)
  const { metrics } = await town.upkeep.metrics()
  const counted = (name, ...labels) =>
    metrics.find((it) => it.name === name && labels.join() === Object.values(it.labels).join())
  assert.equal(counted('gastown_commands_total', 'rigs.add', 'ok').value, 1)
  assert.equal(counted('gastown_leader').kind, 'gauge')
  const ticks = counted('gastown_tick_duration_seconds')
  assert.deepEqual([ticks.value, ticks.buckets.at(-1).count], [null, ticks.count])

  const waits = await town.beads.create({ title: 'wait for the tide', rig: 'harbour' })
  await town.beads.sling({ bead: waits.id, to: 'toast' })
  const { subject } = await until(plain, 'session.started', (await town.sessions.list({ bead: waits.id })).sessions[0].id)
  const left = await town.sessions.checkpoint({ session: subject, data: { someKey: ['a'] } })
  assert.deepEqual(left.checkpoint, { someKey: ['a'] })
  assert.equal((await town.sessions.handoff({ session: subject })).ending, 'handed_off')
  await until(plain, 'session.ended', subject)
  const { subject: second } = await until(plain, 'session.started', `s-${waits.id}-2`)
  await town.sessions.stop(second)
  await until(plain, 'session.ended', second)
  const { attempts, failures } = await town.beads.attempts(waits.id)
  assert.deepEqual(attempts.map(({ exit }) => exit), ['handed_off', 'cancelled'])
  assert.equal(failures, 0)
  await town.effects.list({ state: 'confirmed' })
  await assert.rejects(town.effects.retry('stop#s-none#1'), { kind: 'not_found', code: 'effect_missing' })
  await drained(town, plain)

  await dispatch(town)

  const other = await town.beads.create('other')
  await town.beads.link({ bead: other.id, onBead: waits.id })
  await town.beads.edges(other.id)
  await town.beads.unlink({ bead: other.id, onBead: waits.id })
  await town.beads.update({ id: other.id, notes: 'n' })
  await town.beads.claim({ by: 'tess', id: other.id })
  await town.beads.release(other.id)
  await town.beads.close(other.id)
  await town.beads.reopen(other.id)
  await town.beads.ready()
  await town.beads.list({ kind: 'agent' })
  const page = await town.events.since({ since: 0, limit: 1000 })
  assert.equal(page.events.length, page.head)
  const replay = await plain.replay()
  check(replay, 'Replay')
  assert.deepEqual(replay.differences, [])

  await graph(town)
  await town.beads.exportTo(join(path, 'beads.jsonl'))
  await town.beads.importFrom({ path: join(path, 'beads.jsonl'), dryRun: true })
  await mkdir(join(path, '.beads'))
  await town.beads.sync(join(path, '.beads'))

  await town.upkeep.check()
  await town.upkeep.backup(join(path, 'backup'))
  await town.upkeep.export(join(path, 'town.jsonl'))
  await town.upkeep.archive({ closedBefore: 0 })
  await town.upkeep.archived()
  await town.upkeep.quarantine()
  await town.upkeep.quarantined()
  await town.upkeep.vacuum()

  // Landing a convoy that needs none is refused, so its answer is that of the other convoys; no effect was given up; nothing was
  // put away or in quarantine, which the tests of upkeep see to.
  const without = operationsTable().map(({ name }) => name).filter((name) => !called.has(name))
  assert.deepEqual(without, ['convoys.land', 'effects.retry', 'upkeep.mend', 'upkeep.discard', 'upkeep.recall'])
})

/** The host gives its work away, and its engine is stopped by that. */
async function drained(town, plain) {
  const late = await town.beads.create({ title: 'wait for the tide', rig: 'harbour' })
  await town.beads.sling(late.id)
  await until(plain, 'session.started', `s-${late.id}-1`)
  const quick = { 'session.heartbeat_ms': 100, 'progress.nudge_ms': 100, 'progress.triage_ms': 200 }
  await town.rigs.configure({ rig: 'harbour', settings: quick })
  await until(plain, 'session.triaged', `s-${late.id}-1`)
  const usual = Object.fromEntries(Object.keys(quick).map((name) => [name, null]))
  await town.rigs.configure({ rig: 'harbour', settings: usual })
  const { requests: [request] } = await town.triage.list()
  assert.deepEqual([request.kind, request.bead, request.epoch], ['stuck_session', late.id, 1])
  await assert.rejects(town.triage.resolve({ id: request.id, action: 'fail' }), { kind: 'invalid', code: 'triage_option' })
  assert.deepEqual(await town.triage.resolve({ id: request.id, action: 'wait', note: 'it thinks' }), request)
  await assert.rejects(town.triage.resolve({ id: request.id, action: 'stop' }), { kind: 'conflict', code: 'triage_closed' })
  assert.deepEqual((await town.triage.list()).requests, [])
  const { token, id: capability } = await town.capabilities.issue({ session: `s-${late.id}-1`, verbs: ['beads.get'] })
  await town.capabilities.attenuate(token)
  assert.equal((await (await plain.withToken(token)).beads.get(late.id)).id, late.id)
  assert.ok((await town.capabilities.list()).capabilities.some(({ id }) => id === capability))
  assert.equal((await town.capabilities.rotateKeys()).keys.length, 2)
  assert.deepEqual(await town.capabilities.revoke(capability), { changed: true })
  const draining = await town.upkeep.drain({ reason: 'the machine is taken away', graceMs: 600_000 })
  assert.deepEqual([draining.reason, draining.sessions, draining.saving], ['the machine is taken away', 1, 0])
  assert.deepEqual((await town.upkeep.status()).draining, draining)
  await plain.drain({ reason: 'now', graceMs: 0 })
  const { attempts: [attempt] } = await town.beads.attempts(late.id)
  assert.deepEqual([attempt.exit, attempt.fault, attempt.saved], ['drained', null, null])
  await assert.rejects(plain.drain({ reason: 'again' }), { kind: 'conflict', code: 'engine_not_running' })
  await assert.rejects(plain.drain({ why: 'no reason' }), { kind: 'invalid', code: 'input_malformed' })
  await town.beads.close({ id: late.id })
  const { symptoms, repaired } = await town.upkeep.doctor({ repair: false })
  assert.deepEqual([symptoms.map(({ kind }) => kind), repaired], [[], 0])
}

/** Pauses, plans and resumes while no engine runs. */
async function dispatch(town) {
  const { agent, work } = await town.agents.history('toast')
  assert.ok(work.length >= 1 && work.every(({ exit, durationMs }) => exit !== null && durationMs !== null))
  assert.deepEqual([agent.name, agent.state], ['toast', 'idle'])
  assert.equal((await town.agents.pause({ name: 'toast', reason: 'a leak' })).state, 'paused')
  assert.equal((await town.agents.retire('nux')).state, 'retired')
  const until = Date.now() * 1_000 + 3_600_000_000
  assert.deepEqual(await town.upkeep.pause({ reason: 'a storm', until }), { reason: 'a storm', until })
  assert.equal((await town.rigs.pause({ name: 'harbour', reason: 'ice' })).pausedReason, 'ice')
  const bead = await town.beads.create({ title: 'wait for the ice', rig: 'harbour' })
  const { beads: [slung] } = await town.beads.slingMany({ slings: [{ bead: bead.id, role: 'polecat' }] })
  assert.deepEqual([slung.status, slung.slung], ['open', true])
  const reasons = async () => (await town.beads.explain(bead.id)).reasons.map(({ reason }) => reason)
  assert.deepEqual(await reasons(), ['slung', 'town_paused', 'rig_paused', 'no_idle_agent'])
  assert.deepEqual(await town.upkeep.resume(), { reason: null, until: null })
  assert.equal((await town.rigs.resume('harbour')).state, 'active')
  assert.deepEqual((await town.sessions.plan()).starts, [])
  assert.equal((await town.agents.resume('toast')).state, 'idle')
  const { starts: [start] } = await town.sessions.plan()
  assert.deepEqual([start.bead, start.agent, start.isNewAgent], [bead.id, 'toast', false])
  assert.equal((await town.beads.park({ id: bead.id, reason: 'no tide' })).parkedReason, 'no tide')
  assert.deepEqual((await town.sessions.plan()).starts, [])
  assert.equal((await town.beads.unpark(bead.id)).parkedReason, null)
  const hooked = await town.agents.hook({ name: 'toast', bead: bead.id })
  assert.deepEqual([hooked.state, hooked.hook, hooked.session], ['hooked', bead.id, null])
  const another = await town.beads.create({ title: 'another', rig: 'harbour' })
  await assert.rejects(town.agents.hook({ name: 'toast', bead: another.id }), { code: 'agent_busy' })
  assert.equal((await town.agents.unhook('toast')).hook, null)
}

/** Calls what is about beads and looks at what it answers. */
async function graph({ beads, reservations }) {
  const plan = {
    beads: [
      { key: 'ship', bead: { title: 'Build a ship', issueType: 'epic', rig: 'harbour' } },
      { key: 'keel', bead: { title: 'Lay the keel', rig: 'harbour' }, partOf: 'ship' },
      { key: 'mast', bead: { title: 'Raise the mast', rig: 'harbour' }, partOf: 'ship' },
    ],
    links: [{ bead: 'mast', onBead: 'keel' }],
  }
  const [ship, keel, mast] = (await beads.createMany(plan)).beads.map(({ id }) => id)
  await beads.children({ id: ship, all: true })
  await beads.dependencies(mast)
  await beads.dependents(keel)
  await beads.blocked()
  await beads.explain(mast)
  await beads.epics()
  await beads.plan()
  await beads.looseEdges()
  const comment = await beads.comment({ bead: keel, text: 'of oak' })
  await beads.comments(keel)
  await beads.deleteComment({ bead: keel, id: comment.id })
  const held = await beads.claim({ by: 'tess', id: keel })
  await beads.heartbeat({ id: keel, by: 'tess', epoch: held.epoch })
  await beads.query({ query: 'status = open' })
  await beads.search({ text: 'keel' })
  await beads.count({ by: ['status', 'label'] })
  await beads.stats()
  await beads.stale({ days: 0 })
  await beads.duplicates()
  await beads.history(keel)
  await beads.at({ seq: 1 })
  await reservations.add({ bead: keel, patterns: ['hull/**'] })
  await reservations.overlaps({ rig: 'harbour', patterns: ['hull/a'] })
  await reservations.list({ rig: 'harbour' })
  await reservations.remove(keel)
  await beads.release(keel)
  const spare = await beads.create({ title: 'spare', id: 'hq-spare' })
  await beads.rename({ id: spare.id, to: 'hq-other' })
  await beads.moveToRig({ id: 'hq-other', rig: 'harbour' })
  await beads.delete((await beads.create('gone')).id)
}

test('an agent hands its bead on and its commits are merged', async (t) => {
  const { town, path } = await opened(t)
  const remote = origin(path)
  const worker = `if grep -q the.mast "$GASTOWN_BRIEF"; then exit 0; fi
    echo hull > hull.txt; git add -A; git commit -q -m hull; echo ready; exec sleep 600`
  const command = { 'agent.command': ['sh', '-c', worker], 'session.grace_ms': 200 }
  await town.rigs.add({ name: 'harbour', remote, settings: command })
  await town.agents.register({ name: 'toast', rig: 'harbour' })
  const bead = await town.beads.create({ title: 'lay the keel', rig: 'harbour' })
  await town.beads.sling(bead.id)
  await town.start()
  const { subject: first } = await until(town, 'session.started', `s-${bead.id}-1`)
  for await (const { text } of town.sessions.follow(first)) {
    if (text.includes('ready')) break
  }
  const agent = await town.session(first)
  const large = { kind: 'invalid', code: 'checkpoint_too_large' }
  await assert.rejects(agent.sessions.checkpoint({ data: 'x'.repeat(20_000) }), large)
  await assert.rejects(agent.sessions.handoff({ session: 's-other' }), { kind: 'forbidden', code: 'session_of_another' })
  await assert.rejects(town.sessions.handoff(), { kind: 'invalid', code: 'session_unnamed' })
  await agent.sessions.handoff({ data: { next: 'the mast' } })
  await until(town, 'bead.closed', bead.id)
  const tried = await town.beads.attempts(bead.id)
  assert.deepEqual(tried.attempts.map(({ exit, fault }) => [exit, fault]), [['handed_off', null], ['succeeded', null]])
})

test('a breaker tells a person and what was given up is listed', async (t) => {
  const { town, path } = await opened(t)
  const broken = { 'breaker.failures': 1, 'breaker.wait_ms': [3_600_000] }
  await town.rigs.add({ name: 'harbour', remote: origin(path), settings: broken })
  await town.agents.register({ name: 'toast', rig: 'harbour' })
  const bead = await town.beads.create({ title: 'lay the keel', rig: 'harbour' })
  await town.beads.sling(bead.id)
  await town.start()
  await until(town, 'breaker.opened', 'rig/harbour')
  const health = await town.health()
  check(health, 'Health')
  const [breaker] = health.breakers
  assert.deepEqual([breaker.subject, breaker.state, breaker.failures], ['rig/harbour', 'open', 1])
  assert.equal((await town.beads.get(breaker.escalation)).kind, 'escalation')
  const status = await town.upkeep.status()
  check(status, 'TownStatus')
  assert.deepEqual(status.breakers, health.breakers)
  assert.deepEqual(status.escalations.map((told) => told.bead), [breaker.escalation])
  assert.deepEqual(status.agents, [{ rig: 'harbour', role: 'polecat', state: 'idle', count: 1 }])
  assert.deepEqual([status.slung, status.head, status.recent.at(-1).seq], [1, status.recent.at(-1).seq, status.head])
  assert.ok(status.leader.leaseUntil > status.at)
  const held = (await town.beads.explain(bead.id)).reasons.find(({ reason }) => reason === 'breaker')
  assert.deepEqual([held.by, held.until], ['rig/harbour', breaker.until])
  const page = await town.effects.list({ kind: 'start' })
  check(page, 'EffectPage')
  const [givenUp] = page.effects
  assert.deepEqual([givenUp.state, givenUp.setback], ['refused', 'refused'])
  await assert.rejects(town.effects.retry(givenUp.id), { kind: 'conflict', code: 'effect_unwanted' })
})

test('handles see and do what their scope allows', async (t) => {
  const { town, path } = await opened(t)
  await town.rigs.add({ name: 'harbour', remote: origin(path), settings })
  await town.agents.register({ name: 'toast', rig: 'harbour' })
  const elsewhere = await town.beads.create("the town's own")
  const bead = await town.beads.create({ title: 'wait for the tide', rig: 'harbour' })
  const harbour = town.rig('harbour')
  assert.deepEqual((await harbour.beads.list()).beads.map(({ id }) => id), [bead.id])
  await assert.rejects(harbour.beads.get(elsewhere.id), { kind: 'not_found', code: 'bead_missing' })
  assert.throws(() => town.rig('../x'), { kind: 'invalid', code: 'name_malformed' })
  assert.throws(() => town.rig(7), { kind: 'invalid', code: 'value_type' })

  await town.start()
  await town.beads.sling(bead.id)
  await until(town, 'session.started')
  const { sessions: [running] } = await town.sessions.list({ state: 'running' })
  const agent = await town.session(running.id)
  const found = await agent.beads.create({ title: 'found on the way', rig: 'harbour' })
  assert.match(found.createdBy, /^polecat\//)
  await assert.rejects(agent.beads.close(bead.id), { kind: 'forbidden', code: 'role_not_allowed' })
  await town.sessions.stop(running.id)
  await until(town, 'session.ended', running.id)
  const stopped = await town.beads.get(bead.id)
  assert.deepEqual([stopped.status, stopped.slung], ['open', false])
  await assert.rejects(agent.beads.get(bead.id), { kind: 'conflict', code: 'epoch_stale' })
  await assert.rejects(town.session('s-none'), { kind: 'not_found', code: 'session_missing' })
})

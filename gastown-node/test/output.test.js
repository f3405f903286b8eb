'use strict'

const assert = require('node:assert/strict')
const { writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { test } = require('node:test')
const { origin, town: opened, until } = require('./parts.js')
const { check } = require('./shape.js')

const SCRIPT = `
printf 'begun ä\\n'
echo '{"some_key": 1}' >> "$GASTOWN_EVENTS_FILE"
echo 'no JSON' >> "$GASTOWN_EVENTS_FILE"
until [ -e "$GASTOWN_BRIEF.go" ]; do sleep 0.02; done
printf 'done \\377'
exit 1
`

async function started(t, command) {
  const { town, path } = await opened(t)
  await town.rigs.add({ name: 'harbour', remote: origin(path), settings: { 'agent.command': command, 'failures.max': 1 } })
  await town.agents.register({ name: 'toast', rig: 'harbour' })
  const bead = await town.beads.create({ title: 'talk', rig: 'harbour' })
  await town.beads.sling(bead.id)
  const { sessions: [session] } = await town.sessions.list({ bead: bead.id })
  return { town, session }
}

test('output is read, followed and removed', async (t) => {
  const { town, session } = await started(t, ['sh', '-c', SCRIPT])
  await town.start()
  const follow = town.sessions.follow({ session: session.id, raw: true })
  const { value: first } = await follow.next()
  check(first, 'OutputPage')
  assert.deepEqual([first.text, first.offset, first.isFinal], ['begun ä\n', 0, false])
  assert.deepEqual(first.bytes, Buffer.from('begun ä\n'))
  assert.deepEqual((await town.sessions.get(session.id)).output, { bytes: 9, droppedBytes: 0, isRemoved: false })
  writeFileSync(join(town.dir, 'work', session.id, 'brief.json.go'), '')
  const rest = []
  for await (const page of follow) rest.push(page)
  assert.equal(rest.at(-1).isFinal, true)
  assert.deepEqual(Buffer.concat(rest.map(({ bytes }) => bytes)), Buffer.from('done \xff', 'latin1'))

  const events = []
  for await (const page of town.sessions.follow({ session: session.id, stream: 'events' })) events.push(...page.events)
  assert.deepEqual(
    events.map(({ data, text, flaw }) => ({ data, text, flaw })),
    [
      { data: { some_key: 1 }, text: null, flaw: null },
      { data: null, text: 'no JSON', flaw: 'malformed' },
    ],
  )
  const page = await town.sessions.output({ session: session.id, after: 6, limitBytes: 16 })
  check(page, 'OutputPage')
  assert.deepEqual([page.text, page.bytes, page.nextOffset, page.isFinal], ['ä\ndone \ufffd', null, 15, true])

  await until(town, 'session.ended', session.id)
  await town.rigs.configure({ rig: 'harbour', settings: { 'output.keep_ms': 0 } })
  let swept
  do {
    swept = await town.sessions.sweep()
    check(swept, 'OutputSweep')
  } while (swept.keptSessions > 0)
  await assert.rejects(town.sessions.output(session.id), { kind: 'not_found', code: 'output_gone' })
  assert.deepEqual((await town.sessions.get(session.id)).output, { bytes: null, droppedBytes: null, isRemoved: true })
})

test('what cannot be followed says why', async (t) => {
  const { town } = await opened(t)
  await assert.rejects(town.sessions.follow('s-none').next(), { code: 'session_missing' })
  await assert.rejects(town.sessions.follow({ session: 's-none', after: -1 }).next(), { code: 'input_malformed' })
  await assert.rejects(town.sessions.follow({ session: 's-none', limitBytes: 0 }).next(), { code: 'limit_out_of_range' })
})

test('an abort ends a follow that waits, and so does closing the town', async (t) => {
  const { town, session } = await started(t, ['sleep', '600'])
  const controller = new AbortController()
  const reason = new Error('enough')
  const waiting = town.sessions.follow(session.id, { signal: controller.signal }).next()
  setImmediate(() => controller.abort(reason))
  await assert.rejects(waiting, reason)
  const last = town.sessions.follow(session.id).next()
  await town.close()
  assert.deepEqual(await last, { done: true, value: undefined })
})

'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { toCamel } = require('../names.js')
const { operationsTable } = require('../native.js')
const { town: opened } = require('./parts.js')
const { members, words } = require('./shape.js')

const GROUPS = ['agents', 'beads', 'capabilities', 'convoys', 'effects', 'events', 'reservations', 'reviews', 'rigs', 'sessions', 'triage', 'upkeep']

/** The fields that the core takes, by what it says to one that it does not. */
async function fields(town, name, input) {
  const { code, message } = await town.call(name, input).catch((error) => error)
  assert.equal(code, 'input_malformed', message)
  assert.match(message, /unknown field `noSuchField`/)
  return [...message.matchAll(/`(\w+)`/g)].map(([, field]) => toCamel(field)).slice(1).sort()
}

test('every operation is a method and every method an operation', async (t) => {
  const { town } = await opened(t)
  for (const handle of [town, town.rig('harbour')]) {
    const methods = GROUPS.flatMap((group) => Object.keys(handle[group]).map((method) => `${group}.${method}`))
    const table = operationsTable().map(({ name }) => name.split('.').map(toCamel).join('.'))
    assert.deepEqual(methods.sort(), [...table, 'events.watch', 'sessions.follow'].sort())
  }
})

for (const { name, kind, input, output } of operationsTable()) {
  test(`${name} is declared as the core has it`, async (t) => {
    const { town } = await opened(t)
    const [group, method] = name.split('.').map(toCamel)
    const declared = members(group[0].toUpperCase() + group.slice(1)).get(method)
    assert.ok(declared !== undefined, `index.d.ts has no ${name}`)
    assert.equal(declared.type.getText(), `Promise<${output}>`)
    const [given, options] = declared.parameters.map((parameter) => parameter.type.getText())
    assert.equal(given.replace('string | ', ''), input)
    const changes = kind === 'change' || ['rigs.add', 'upkeep.recall'].includes(name)
    assert.equal(options, changes ? 'ChangeOptions' : 'CallOptions')
    // The probe's own key must pass `toNative`, which knows no snake case.
    const unknown = await fields(town, name, { noSuchField: 1 })
    assert.deepEqual(unknown, [...members(input).keys()].sort())
  })
}

test('a task of a convoy is declared as the core has it', async (t) => {
  const { town } = await opened(t)
  const convoy = { title: 'x', rig: 'r', tasks: [{ noSuchField: 1 }] }
  assert.deepEqual(await fields(town, 'convoys.sling', convoy), [...members('Task').keys()].sort())
})

test("closed sets of words are the core's", async (t) => {
  const { town } = await opened(t)
  for (const [name, field, union, needed] of [
    ['agents.register', 'role', 'Role', { name: 'x' }],
    ['beads.close', 'resolution', 'Resolution', { id: 'x-1' }],
    ['beads.ready', 'sort', 'ReadySort', {}],
    ['beads.list', 'sort', 'ListSort', {}],
    ['beads.list', 'kind', 'BeadKind', {}],
    ['beads.list', 'status', 'BeadStatus', {}],
    ['convoys.sling', 'onFailure', 'FailurePolicy', { title: 'x', rig: 'x', tasks: [] }],
    ['effects.list', 'state', 'EffectState', {}],
    ['reviews.list', 'state', 'ReviewState', {}],
    ['sessions.list', 'state', 'SessionState', {}],
    ['sessions.output', 'stream', 'OutputStream', { session: 's-1' }],
  ]) {
    const error = await town.call(name, { ...needed, [field]: 'painted' }).catch((error) => error)
    assert.equal(error.code, 'word_unknown')
    for (const word of words(union)) {
      const refused = await town.call(name, { ...needed, [field]: word }).catch((error) => error)
      assert.ok(!['input_malformed', 'word_unknown'].includes(refused.code), `${name} ${field}: ${word}`)
    }
  }
})

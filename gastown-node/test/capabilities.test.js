'use strict'

const assert = require('node:assert/strict')
const { readFile } = require('node:fs/promises')
const { join } = require('node:path')
const { test } = require('node:test')
const { Town } = require('../index.js')
const { town: opened } = require('./parts.js')

test('a token does what its scope may until it is revoked', async (t) => {
  const { town } = await opened(t)
  const issued = await town.capabilities.issue({ user: 'tess@example.org', ttlMs: 60_000 })
  const tess = await town.withToken(issued.token)
  const bead = await tess.beads.create('Lay the keel')
  assert.deepEqual([bead.createdBy, issued.principal], ['user/tess@example.org', 'user/tess@example.org'])
  const less = await town.capabilities.attenuate({ token: issued.token, verbs: ['beads.list', 'beads.get'] })
  const reader = await town.withToken(less.token)
  assert.deepEqual((await reader.beads.list()).beads.map(({ id }) => id), [bead.id])
  await assert.rejects(reader.beads.close(bead.id), { kind: 'forbidden', code: 'verb_not_granted' })
  const wider = town.capabilities.attenuate({ token: less.token, verbs: ['beads.close'] })
  await assert.rejects(wider, { kind: 'forbidden', code: 'verb_not_granted' })
  const { capabilities } = await town.capabilities.list()
  const listed = new Map(capabilities.map((found) => [found.id, found]))
  assert.deepEqual(listed.get(less.id).verbs, ['beads.get', 'beads.list'])
  assert.deepEqual([listed.get(less.id).parent, listed.get(issued.id).parent], [issued.id, null])
  assert.deepEqual(await town.capabilities.revoke({ id: issued.id, reason: 'she left' }), { changed: true })
  for (const handle of [tess, reader]) {
    await assert.rejects(handle.beads.list(), { kind: 'forbidden', code: 'capability_revoked' })
  }
})

test('a token that is none is refused and not shown', async (t) => {
  const { town } = await opened(t)
  for (const token of ['', 'open sesame', 'a.b.c', 'x'.repeat(10_000)]) {
    const error = await town.withToken(token).catch((error) => error)
    assert.deepEqual([error.kind, error.code], ['forbidden', 'token_malformed'])
    assert.ok(token === '' || !`${error.message} ${error.chain}`.includes(token))
  }
  await assert.rejects(town.capabilities.issue(), { kind: 'invalid', code: 'field_missing' })
})

test("keys rotate and can be the host's", async (t) => {
  const { town, path } = await opened(t)
  const issued = await town.capabilities.issue({ user: 'tess' })
  const { keys } = await town.capabilities.rotateKeys({ algorithm: 'HS256' })
  assert.deepEqual(keys.map(({ algorithm, endsAt }) => [algorithm, endsAt === null]), [['HS256', true], ['EdDSA', false]])
  await town.withToken(issued.token)
  await town.capabilities.rotateKeys({ keepMs: 0 })
  await assert.rejects(town.withToken(issued.token), { kind: 'forbidden', code: 'token_key_unknown' })
  const other = await Town.open(join(path, 'other'), { keys: await readFile(join(town.dir, 'keys.json'), 'utf8') })
  try {
    const { token } = await town.capabilities.issue({ user: 'tess' })
    await assert.rejects(other.withToken(token), { kind: 'forbidden', code: 'capability_unknown' })
    await assert.rejects(other.capabilities.rotateKeys(), { kind: 'conflict', code: 'keys_of_host' })
  } finally {
    await other.close()
  }
  await assert.rejects(Town.open(join(path, 'third'), { keys: '{}' }), { kind: 'invalid', code: 'keys_malformed' })
})

test('a user calls in its own name', async (t) => {
  const { town } = await opened(t)
  assert.equal((await town.user('tess').beads.create('Raise the mast')).createdBy, 'user/tess')
  assert.throws(() => town.user('a b'), { kind: 'invalid', code: 'name_malformed' })
})

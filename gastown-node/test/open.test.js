'use strict'

const assert = require('node:assert/strict')
const { spawnSync } = require('node:child_process')
const { mkdirSync, readFileSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { test } = require('node:test')
const { inspect } = require('node:util')
const { ManualClock, Town, open } = require('..')
const { folder, postgres, town: opened } = require('./parts.js')

test('a town keeps its beads from one opening to the next', async (t) => {
  const path = join(folder(t), 'a', 'town')
  const town = await open(path, { id: 'harbour', durability: 'normal' })
  assert.deepEqual([town.id, town.dir], ['harbour', path])
  const bead = await town.beads.create('kept')
  await town.close()
  const again = await Town.open(path, { id: 'harbour' })
  assert.deepEqual(await again.beads.get(bead.id), bead)
  await (Symbol.asyncDispose === undefined ? again.close() : again[Symbol.asyncDispose]())
})

test('a misspelt name is no new town', async (t) => {
  const path = folder(t)
  await (await open(path, { id: 'harbour' })).close()
  for (const options of [{ id: 'harbor' }, {}]) {
    const missing = { kind: 'not_found', code: 'town_missing', facts: { town: options.id ?? 'town', there: 'harbour' } }
    await assert.rejects(open(path, options), missing)
  }
  await (await open(path, { id: 'mill', create: true })).close()
  await (await open(path, { id: 'mill' })).close()
})

test('a closed town answers with a clear error', async (t) => {
  const { town } = await opened(t)
  await town.start()
  await Promise.all([town.close(), town.close()])
  await town.close()
  const calls = [() => town.beads.list(), () => town.replay(), () => town.session('s-1'), () => town.upkeep.health()]
  for (const call of calls) {
    await assert.rejects(call, { kind: 'unavailable', code: 'store_closed' })
  }
  const seen = []
  for await (const event of town.events.watch()) seen.push(event)
  assert.deepEqual(seen, [])
})

test('a file that is no town is refused and left alone', async (t) => {
  const path = folder(t)
  const file = join(path, 'town.db')
  writeFileSync(file, 'This is no database. '.repeat(400))
  const before = readFileSync(file)
  await assert.rejects(open(path), { kind: 'corrupt', code: 'not_a_town' })
  assert.deepEqual(readFileSync(file), before)
})

test('a folder that cannot be made is refused', async (t) => {
  const path = join(folder(t), 'file')
  writeFileSync(path, '')
  await assert.rejects(open(join(path, 'town')), { code: 'folder_missing', facts: { path: join(path, 'town') } })
})

test('a wrong option is a typed error', async (t) => {
  const path = folder(t)
  for (const [options, code] of [
    [{ id: '../x' }, 'name_malformed'],
    [{ id: 7 }, 'input_malformed'],
    [{ seed: -1 }, 'input_malformed'],
    [{ seed: 2 ** 60 }, 'value_range'],
    [{ durability: 'none' }, 'durability_unknown'],
    [{ store: 'memory', durability: 'full' }, 'durability_unused'],
    [{ store: 'oracle' }, 'store_unknown'],
    [{ store: 7 }, 'input_malformed'],
    [{ store: 'postgres://m:s3cret@h/d?colour=red' }, 'store_url'],
    [{ program: '/no/such/program' }, 'program_missing'],
    [{ colour: 'red' }, 'input_malformed'],
  ]) {
    await assert.rejects(open(path, options), { kind: 'invalid', code }, JSON.stringify(options))
  }
  await assert.rejects(open(7), { kind: 'invalid', code: 'value_type' })
  await assert.rejects(open(path, { clock: {} }), { kind: 'invalid', code: 'value_type' })
})

test('a town in memory is gone with its last handle', async (t) => {
  const path = folder(t)
  for (const title of ['soon forgotten', 'again']) {
    const town = await open(path, { store: 'memory' })
    assert.equal((await town.upkeep.health()).backend, 'memory')
    await town.beads.create(title)
    assert.deepEqual((await town.beads.list()).beads.map((bead) => bead.title), [title])
    await town.close()
  }
})

test('two towns share a postgres database', async (t) => {
  const store = await postgres(t)
  const [first, second] = [await open(folder(t), { store }), await open(folder(t), { store })]
  const bead = await first.beads.create('shared')
  assert.deepEqual(await second.beads.get(bead.id), bead)
  assert.equal((await second.upkeep.health()).backend, 'postgres')
  await first.close()
  await second.close()
})

test('an unreachable database is a typed error without the password', async (t) => {
  const store = 'postgres://m:s3cret@127.0.0.1:1/d?sslmode=disable'
  await assert.rejects(open(folder(t), { store }), (error) => {
    assert.equal(error.code, 'store_unreachable')
    assert.ok(!inspect(error).includes('s3cret'))
    return true
  })
})

test('the same seed and clock give the same town', async (t) => {
  const path = folder(t)
  async function journal(name) {
    mkdirSync(join(path, name))
    const clock = new ManualClock(1_700_000_000_000_000)
    const town = await open(join(path, name), { seed: 7, clock })
    const first = await town.beads.create('a')
    clock.advance(1_000)
    await town.beads.create({ title: 'b', parent: first.id })
    const { events } = await town.events.since({ limit: 10 })
    await town.close()
    return events
  }
  const [first, second] = [await journal('a'), await journal('b')]
  assert.deepEqual(first, second)
  assert.deepEqual(first.map((event) => event.at % 1_000_000), [0, 0, 1_000])
})

test('a manual clock stands until it is set', async (t) => {
  const clock = new ManualClock(1_000)
  const { town } = await opened(t, { clock })
  const bead = await town.beads.create({ title: 'later', deferUntil: 2_000 })
  assert.deepEqual((await town.beads.ready()).beads, [])
  clock.set(2_000)
  assert.equal(clock.now, 2_000)
  assert.deepEqual((await town.beads.ready()).beads.map(({ id }) => id), [bead.id])
  for (const wrong of [NaN, Infinity, 1.5, 2 ** 60, '1']) {
    assert.throws(() => clock.set(wrong), { kind: 'invalid', code: 'value_range' })
  }
})

test('a clock that goes back loses nothing and keeps the order', async (t) => {
  const clock = new ManualClock(2_000_000)
  const { town } = await opened(t, { clock })
  const first = await town.beads.create('first')
  await town.beads.claim({ by: 'tess', id: first.id, leaseMs: 1_000 })
  clock.set(1_000_000)
  const second = await town.beads.create('second')
  assert.equal((await town.beads.get(first.id)).status, 'in_progress', 'nothing ends early')
  const { events } = await town.events.since()
  assert.deepEqual(events.map((event) => event.seq), events.map((_, at) => at + 1))
  assert.deepEqual([events.at(-1).subject, events.at(-1).at], [second.id, 1_000_000])
  assert.deepEqual((await town.upkeep.check()).findings, [])
})

test('the packaged program supervises', async (t) => {
  const { town } = await opened(t)
  assert.equal((await town.upkeep.health()).sessionsSurvive, true)
})

test('a program may end without closing its town', (t) => {
  const script = `
    const { open } = require('gastown')
    open(process.argv[1]).then(async (town) => {
      await town.start()
      await town.beads.create('x')
      console.log('ends')
      process.exit(0)
    })`
  const ended = spawnSync(process.execPath, ['-e', script, folder(t)], { encoding: 'utf8', cwd: __dirname, timeout: 60_000 })
  assert.deepEqual([ended.status, ended.stdout, ended.stderr], [0, 'ends\n', ''])
})

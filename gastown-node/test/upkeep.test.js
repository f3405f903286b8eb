'use strict'

const assert = require('node:assert/strict')
const { existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { test } = require('node:test')
const { ManualClock, mergeBeads, open, restore } = require('..')
const { folder, town: opened } = require('./parts.js')

const START = 1_763_670_000_000_000
const DAY = 24 * 3600 * 1_000_000

const codeOf = (promise) => promise.then(() => 'ok', (error) => error.code)

test('a backup is a town again', async (t) => {
  const { town, path } = await opened(t)
  const bead = await town.beads.create({ title: 'Lay the keel', labels: ['hull'] })
  const backup = await town.backup(join(path, 'monday'))
  assert.deepEqual([backup.head, backup.path], [2, join(path, 'monday')])
  const again = await restore(join(path, 'monday'), join(path, 'again'))
  t.after(() => again.close())
  assert.deepEqual(await again.beads.get(bead.id), bead)
  assert.deepEqual((await again.upkeep.check()).findings, [])
  assert.equal(await codeOf(town.upkeep.backup(join(path, 'monday'))), 'path_taken')
  assert.equal(await codeOf(restore(join(path, 'monday'), join(path, 'again'))), 'town_not_empty')
})

test('an export is lines that make a town', async (t) => {
  const { town, path } = await opened(t)
  const bead = await town.beads.create('Raise the mast')
  const file = join(path, 'town.jsonl')
  const exported = await town.upkeep.export({ path: file })
  assert.deepEqual([exported.unreadable, exported.bytes], [0, statSync(file).size])
  const again = await restore(file, join(path, 'again'), { durability: 'normal' })
  t.after(() => again.close())
  assert.deepEqual(await again.beads.get(bead.id), bead)
  assert.equal((await again.health()).durability, 'normal')
  const lines = readFileSync(file)
  writeFileSync(join(path, 'cut.jsonl'), lines.subarray(0, lines.length / 2))
  assert.equal(await codeOf(restore(join(path, 'cut.jsonl'), join(path, 'cut'))), 'dump_truncated')
  assert.equal(existsSync(join(path, 'cut', 'town.db')), false)
})

test('a row that cannot be read is taken out and comes back mended', async (t) => {
  const { town, path } = await opened(t)
  const keel = await town.beads.create('Lay the keel')
  const mast = await town.beads.create('Raise the mast')
  const { dir } = town
  await town.close()
  // A bead's columns lie side by side in the file: the title, the priority, the type, the metadata.
  const file = join(dir, 'town.db')
  const bytes = readFileSync(file)
  for (const title of ['Lay the keel', 'Raise the mast']) {
    const at = bytes.indexOf(`${title}\x02task{}`)
    assert.ok(at > 0)
    bytes.write('{!', at + title.length + 5)
  }
  writeFileSync(file, bytes)
  const again = await open(dir)
  t.after(() => again.close())
  assert.equal(await codeOf(again.beads.get(keel.id)), 'row_unreadable')
  const taken = await again.upkeep.quarantine()
  assert.deepEqual([taken.rows.length, taken.left, taken.hasMore], [2, [], false])
  const page = await again.upkeep.quarantined({ limit: 1 })
  const rest = await again.upkeep.quarantined({ cursor: page.cursor })
  const rows = new Map([...page.rows, ...rest.rows].map((row) => [row.columns.title, row]))
  const row = rows.get('Lay the keel')
  assert.deepEqual([row.table, row.key, row.columns.metadata], ['bead', [keel.id], '{!'])
  assert.equal(row.columns.issue_type, 'task')
  assert.equal((await again.health()).quarantined, 2)
  assert.equal(await codeOf(again.upkeep.mend(row.id)), 'row_still_unreadable')
  const mend = { id: row.id, columns: { metadata: '{}', issue_type: 'bug' } }
  assert.deepEqual(await again.upkeep.mend(mend, { key: 'once' }), row)
  assert.deepEqual(await again.upkeep.mend(mend, { key: 'once' }), row)
  assert.deepEqual((await again.beads.get(keel.id)).issueType, 'bug')
  const gone = await again.upkeep.discard(rows.get('Raise the mast').id)
  assert.deepEqual(gone.key, [mast.id])
  assert.equal(await codeOf(again.upkeep.discard({ id: gone.id })), 'row_missing')
  assert.deepEqual([(await again.upkeep.check()).findings, (await again.health()).quarantined], [[], 0])
  assert.equal(await codeOf(open(join(path, 'named'), { host: 'alpha:1' })), 'host_malformed')
})

test('what is over is put away and its space given back', async (t) => {
  const clock = new ManualClock(START)
  const { town } = await opened(t, { clock })
  const done = await town.beads.create('done')
  const left = await town.beads.create('left')
  await town.beads.close(done.id)
  clock.advance(DAY)
  const archived = await town.upkeep.archive({ closedBefore: START + DAY, eventsBefore: START + DAY })
  assert.equal(archived.beads, 1)
  assert.ok(archived.events > 0 && archived.files.length === 2 && archived.files.every(existsSync))
  assert.deepEqual((await town.beads.list()).beads.map((bead) => bead.id), [left.id])
  assert.equal(await codeOf(town.events.since({ since: 0 })), 'events_archived')
  const { bytesBefore, bytesAfter } = await town.upkeep.vacuum()
  assert.ok(bytesBefore > 0 && bytesAfter > 0)
  const checked = await town.upkeep.check()
  assert.deepEqual([checked.findings, checked.events], [[], (await town.health()).head])
  const { beads: putAway, cursor } = await town.upkeep.archived({ limit: 5 })
  assert.deepEqual([putAway.map((bead) => [bead.id, bead.title, bead.status]), cursor], [[[done.id, 'done', 'closed']], null])
  const back = await town.upkeep.recall(done.id, { key: 'once' })
  assert.deepEqual([back.title, back.status], ['done', 'closed'])
  assert.deepEqual(await town.upkeep.recall({ id: done.id }, { key: 'once' }), back)
  assert.equal(await codeOf(town.upkeep.recall(done.id)), 'bead_exists')
  assert.deepEqual((await town.upkeep.archived()).beads, [])
  assert.equal(await codeOf(town.upkeep.recall('gt-never')), 'bead_not_archived')
  assert.deepEqual((await town.upkeep.check()).findings, [])
  assert.equal(await codeOf(town.upkeep.archive({})), 'archive_unbounded')
})

test('health says how the database is', async (t) => {
  const { town } = await opened(t)
  const health = await town.upkeep.health()
  assert.deepEqual([health.backend, health.durability, health.unreadable, health.first], ['sqlite', 'full', [], 1])
  assert.ok(health.schema >= 2 && health.databaseBytes > 0)
})

test('nothing is told done once the file is gone', async (t) => {
  const { town } = await opened(t)
  assert.equal((await town.health()).storeProblem, null)
  rmSync(join(town.dir, 'town.db'))
  for (const title of ['lost', 'again']) {
    await assert.rejects(town.beads.create(title), { kind: 'unavailable', code: 'store_gone' })
  }
  assert.match((await town.health()).storeProblem, /town\.db/)
  assert.equal(await codeOf(town.upkeep.check()), 'store_gone')
})

test('beads come in from a file of another tool and go out to it', async (t) => {
  const { town, path } = await opened(t)
  const [from, to] = [join(path, 'in.jsonl'), join(path, 'out.jsonl')]
  const line =
    '{"id":"gt-1","title":"Raise the mast","status":"open","priority":2,"issue_type":"task",' +
    '"created_at":"2025-10-11T20:00:00Z","updated_at":"2025-10-11T20:00:00Z","pinned":0}\n'
  writeFileSync(from, `${line}no line\n`)
  const report = await town.beads.importFrom({ path: from, dryRun: true })
  assert.deepEqual([report.created, report.repairs.bool_as_number], [1, 1])
  assert.deepEqual(await town.beads.importFrom(from), report)
  assert.deepEqual(
    report.flawedLines.map((flaw) => [flaw.line, flaw.code]),
    [[2, 'not_json']],
  )
  const exported = await town.beads.exportTo(to)
  assert.equal(readFileSync(to, 'utf8'), line)
  assert.deepEqual([exported.beads, exported.bytes], [1, line.length])
  assert.equal(await codeOf(town.beads.importFrom({ path: from, strict: true })), 'import_flawed')
})

test('an import tells what it sets aside, keeps both beads of one id, and how beads ended', async (t) => {
  const { town, path } = await opened(t)
  const [from, to, link] = [join(path, 'in.jsonl'), join(path, 'out.jsonl'), join(path, 'link.jsonl')]
  const line = (title, made, more) =>
    JSON.stringify({
      id: 'gt-1',
      title,
      status: 'open',
      priority: 2,
      issue_type: 'task',
      created_at: made,
      updated_at: made,
      ...more,
    })
  const first = line('Raise the mast', '2025-10-11T20:00:00Z', { metadata: [1] })
  writeFileSync(from, `${first}\n${line('Fell the oak', '2025-10-12T20:00:00Z')}\n`)
  const report = await town.beads.importFrom(from)
  const told = report.repaired.find((repair) => repair.code === 'value_set_aside')
  assert.deepEqual([told.file, told.line, told.column, told.key], ['in.jsonl', 1, first.indexOf('[1]') + 1, 'metadata'])
  const [conflict] = report.conflicting
  assert.deepEqual([conflict.bead, conflict.why, report.created], ['gt-1', 'id_shared', 2])
  assert.equal((await town.beads.get(conflict.keptAs)).title, 'Fell the oak')
  await town.beads.close({ id: 'gt-1', resolution: 'cancelled', reason: 'no wood' })
  await town.beads.exportTo(to)
  const lines = readFileSync(to, 'utf8').trim().split('\n').map((text) => JSON.parse(text))
  assert.equal(lines.find((one) => one.id === 'gt-1').resolution, 'cancelled')
  symlinkSync(to, link)
  assert.equal(await codeOf(town.beads.exportTo({ path: link, replace: true })), 'not_a_file')
})

function issue(title, priority, updated_at) {
  const line = { id: 'gt-1', title, status: 'open', priority, issue_type: 'task', created_at: '2025-10-11T20:00:00Z', updated_at }
  return `${JSON.stringify(line)}\n`
}

test('a town and a .beads folder are kept equal', async (t) => {
  const { town, path } = await opened(t)
  const folder = join(path, '.beads')
  mkdirSync(folder)
  const file = join(folder, 'issues.jsonl')
  writeFileSync(file, `${issue('Raise the mast', 2, '2025-10-11T20:00:00Z')}no line\n`)
  const dry = await town.beads.sync({ path, dryRun: true })
  assert.deepEqual([dry.created, dry.flaws, dry.dialect], [1, 1, 'native'])
  assert.equal((await town.beads.sync(path)).created, 1)
  await town.beads.update({ id: 'gt-1', priority: 0 })
  writeFileSync(file, `${issue('Raise both masts', 2, '2025-10-12T20:00:00Z')}no line\n`)
  const both = await town.beads.sync(folder)
  assert.deepEqual([both.updated, both.linesChanged, both.choices], [1, 1, 0])
  const bead = await town.beads.get('gt-1')
  assert.deepEqual([bead.title, bead.priority], ['Raise both masts', 0])
  const [line, rest] = readFileSync(file, 'utf8').trimEnd().split('\n')
  assert.deepEqual([JSON.parse(line).priority, rest], [0, 'no line'])
  const again = await town.beads.sync(folder)
  assert.deepEqual([again.unchanged, again.updated, again.linesChanged], [1, 0, 0])
  rmSync(file)
  assert.equal(await codeOf(town.beads.sync(folder)), 'sync_file_incomplete')
  assert.equal((await town.beads.sync({ path: folder, acceptDeletions: true })).deleted, 1)
  assert.equal(await codeOf(town.beads.sync(join(path, 'nowhere'))), 'path_missing')
})

test('what a killed restore left is opened by nobody', async (t) => {
  const path = folder(t)
  writeFileSync(join(path, 'restore.unfinished'), '')
  assert.equal(await codeOf(open(path)), 'restore_unfinished')
})

test('files that grew apart are merged', async (t) => {
  const { path } = await opened(t)
  const [base, ours, theirs] = ['base', 'ours', 'theirs'].map((name) => join(path, name))
  writeFileSync(base, issue('Raise the mast', 2, '2025-10-11T20:00:00Z'))
  writeFileSync(ours, issue('Raise a mast', 2, '2025-10-12T20:00:00Z'))
  writeFileSync(theirs, issue('Raise both masts', 0, '2025-10-13T20:00:00Z'))
  assert.equal(await codeOf(mergeBeads({ base, ours, theirs, strict: true })), 'merge_conflicted')
  const merged = await mergeBeads({ base, ours, theirs })
  assert.deepEqual([merged.issues, merged.choices, merged.flaws], [1, 1, 0])
  const { id, key, code, kept, dropped } = merged.chosen[0]
  assert.deepEqual([id, key, code, kept, dropped], ['gt-1', 'title', 'field_conflict', 'Raise both masts', 'Raise a mast'])
  assert.equal(JSON.parse(readFileSync(ours, 'utf8')).title, 'Raise both masts')
  assert.equal(await codeOf(mergeBeads({ base: join(path, 'nowhere'), ours, theirs })), 'path_missing')
})

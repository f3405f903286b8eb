'use strict'

// Input that is out to do harm: the table and the file that Rust and Python are tried with as well.
const assert = require('node:assert/strict')
const { writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { test } = require('node:test')
const { GastownError } = require('..')
const { origin, town: opened } = require('./parts.js')

const TABLE = require('../../tests/hostile.json')

const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase())

/** Texts of the table that are too long to be written out, and names as they are here. */
function unfold(value) {
  if (Array.isArray(value)) return value.map(unfold)
  if (value === null || typeof value !== 'object') return value
  if ('repeat' in value) {
    const { repeat, times, between = '', before = '', after = '' } = value
    return before + Array(times).fill(repeat).join(between) + after
  }
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [camel(name), unfold(item)]))
}

test('every hostile call is answered or refused with its code', async (t) => {
  const { town, path } = await opened(t)
  await town.rigs.add({ name: 'harbour', remote: origin(path) })
  await town.beads.create('Lay the keel')
  const { head } = await town.upkeep.health()
  const wrong = []
  for (const [operation, given, code] of TABLE) {
    const error = await town.call(operation, unfold(given)).then(
      () => null,
      (error) => error,
    )
    const found = error?.code ?? null
    if (found !== code) wrong.push([operation, given, found, code])
    if (error === null) continue
    assert.ok(error instanceof GastownError && error.message.length < 2_000, `${operation}: ${error}`)
    assert.ok(['invalid', 'not_found', 'exhausted'].includes(error.kind), `${operation}: ${error.kind}`)
  }
  assert.deepEqual(wrong, [])
  assert.equal((await town.upkeep.health()).head, head, 'none of them changed anything')
})

/** A file with everything that is wrong with files. */
function brokenFile(path, longLineBytes) {
  const times = '"created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"'
  const nested = [['gt-1', 'blocks'], ['gt-gone', 'blocks'], ['gt-2', 'parent-child'], ['gt-2', 'nonsense']]
    .map(([on, kind]) => `{"issue_id":"gt-1","depends_on_id":"${on}","type":"${kind}"}`)
    .join(',')
  const lines = [
    `{"id":"gt-1","title":"good",${times},"dependencies":[${nested}]}`,
    `{"id":"gt-2","title":"twice",${times}}`,
    '{"id":"gt-2","title":"later","created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-02T00:00:00Z"}',
    '{"id":"gt-3","title":"\xff\xfe"}',
    `{"id":"gt-4","title":"odd","priority":99,"status":"nonsense","issue_type":"nonsense",${times}}`,
    `{"id":"gt-5","title":"far","estimated_minutes":1e300,"due_at":"99999-01-01T00:00:00Z",${times}}`,
    '['.repeat(100_000) + ']'.repeat(100_000),
    `{"id":"gt-6","title":"long",${times},"description":"${'x'.repeat(longLineBytes)}"}`,
    '{"id":"gt-7","ti',
  ]
  writeFileSync(path, Buffer.from(lines.join('\n'), 'latin1'))
}

test('a broken file comes in as far as it is good', async (t) => {
  const { town, path } = await opened(t)
  const file = join(path, 'issues.jsonl')
  brokenFile(file, 50 << 20)
  const report = await town.beads.importFrom({ path: file })
  assert.deepEqual(
    report.flawedLines.map(({ line, code }) => [line, code]),
    [
      [4, 'invalid_utf8'],
      [7, 'not_an_object'],
      [8, 'text_too_long'],
      [9, 'line_cut'],
    ],
  )
  assert.deepEqual([report.created, report.updated, report.dangling], [4, 1, 1])
  const told = ['self_edge', 'duplicate_id', 'number_out_of_range', 'priority_out_of_range', 'status_unknown']
  assert.deepEqual(told.map((code) => report.repairs[code]), [1, 1, 1, 1, 1])
  assert.deepEqual((await town.beads.list()).beads.map(({ title }) => title), ['good', 'later', 'odd', 'far'])
  await assert.rejects(town.beads.importFrom({ path: file, strict: true }), (error) => {
    assert.deepEqual([error.code, error.facts.line], ['import_flawed', '4'])
    return true
  })
  const again = await town.beads.importFrom({ path: file })
  assert.deepEqual([again.created, again.updated, again.flaws], [0, 0, report.flaws])
  assert.deepEqual((await town.upkeep.check()).findings, [])
})

// Put, claim and done from Node: gastown beside plainjob, plain better-sqlite3 and gastown from Rust.
//
// Usage: node queues.mjs RUST_PROGRAM [--quick]. Each contender has a database of its own on the same disk; they take
// turns, and a figure is the median of all turns. A ratio is to plain SQLite of the same durability, and to Rust.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { better, defineQueue } from 'plainjob'
import { open } from '../../gastown-node/index.js'

const VERBS = ['put', 'claim', 'done']
const clock = () => Number(process.hrtime.bigint())
const empty = () => ({ put: [], claim: [], done: [] })

/** One table with a partial index: the least that a queue in SQLite can be. */
function raw(path, synchronous) {
  const db = new Database(path)
  db.pragma('journal_mode = WAL')
  db.pragma(`synchronous = ${synchronous}`)
  db.exec('CREATE TABLE job (id INTEGER PRIMARY KEY, data TEXT, state INTEGER NOT NULL DEFAULT 0, by TEXT)')
  db.exec('CREATE INDEX job_waiting ON job (id) WHERE state = 0')
  const put = db.prepare('INSERT INTO job (data) VALUES (?)')
  const pick = db.prepare(
    'UPDATE job SET state = 1, by = ? WHERE id = (SELECT id FROM job WHERE state = 0 ORDER BY id LIMIT 1) RETURNING id, data',
  )
  const done = db.prepare('UPDATE job SET state = 2 WHERE id = ?')
  return async (count) => {
    const figures = empty()
    for (let n = 0; n < count; n++) {
      const begun = clock()
      put.run(`job ${n}`)
      figures.put.push(clock() - begun)
    }
    for (let n = 0; n < count; n++) {
      let begun = clock()
      const { id } = pick.get('worker')
      figures.claim.push(clock() - begun)
      begun = clock()
      done.run(id)
      figures.done.push(clock() - begun)
    }
    return figures
  }
}

/** plainjob; it sets the durability `normal` itself. */
function plainjob(path) {
  const quiet = { error() {}, warn() {}, info() {}, debug() {} }
  const queue = defineQueue({ connection: better(new Database(path)), logger: quiet })
  return async (count) => {
    const figures = empty()
    for (let n = 0; n < count; n++) {
      const begun = clock()
      queue.add('work', { n })
      figures.put.push(clock() - begun)
    }
    for (let n = 0; n < count; n++) {
      let begun = clock()
      const { id } = queue.getAndMarkJobAsProcessing('work')
      figures.claim.push(clock() - begun)
      begun = clock()
      queue.markJobAsDone(id)
      figures.done.push(clock() - begun)
    }
    return figures
  }
}

function ours(town) {
  return async (count) => {
    const figures = empty()
    for (let n = 0; n < count; n++) {
      const begun = clock()
      await town.beads.create({ title: `job ${n}` })
      figures.put.push(clock() - begun)
    }
    for (let n = 0; n < count; n++) {
      let begun = clock()
      const { id } = await town.beads.claim({ by: 'worker' })
      figures.claim.push(clock() - begun)
      begun = clock()
      await town.beads.close({ id })
      figures.done.push(clock() - begun)
    }
    return figures
  }
}

/** The same with the library in Rust, in a process and a town of its own for each turn. */
function rust(program, folder, durability) {
  let number = 0
  return async (count) => {
    const town = join(folder, `rust-${durability}-${number++}`)
    return JSON.parse(execFileSync(program, [town, durability, String(count)], { maxBuffer: 2 ** 28 }))
  }
}

const program = process.argv[2]
const [turns, count] = process.argv.includes('--quick') ? [1, 5] : [7, 400]
const folder = mkdtempSync(join(process.cwd(), 'queues-'))
try {
  const towns = {}
  for (const durability of ['full', 'normal']) towns[durability] = await open(join(folder, durability), { durability })
  const contenders = {
    'better-sqlite3, full': raw(join(folder, 'full.db'), 'FULL'),
    'gastown, full': ours(towns.full),
    'gastown in Rust, full': rust(program, folder, 'full'),
    'better-sqlite3, normal': raw(join(folder, 'normal.db'), 'NORMAL'),
    'gastown, normal': ours(towns.normal),
    'gastown in Rust, normal': rust(program, folder, 'normal'),
    plainjob: plainjob(join(folder, 'plainjob.db')),
  }
  const found = Object.fromEntries(Object.keys(contenders).map((name) => [name, empty()]))
  for (let n = 0; n < turns; n++) {
    for (const [name, turn] of Object.entries(contenders)) {
      const figures = await turn(count)
      for (const verb of VERBS) found[name][verb].push(...figures[verb])
    }
  }
  for (const town of Object.values(towns)) await town.close()

  const quantile = (name, verb, share) => {
    const values = found[name][verb].toSorted((a, b) => a - b)
    return values[Math.floor((values.length - 1) * share)] / 1_000
  }
  const cell = (name, verb) => `${quantile(name, verb, 0.5).toFixed(0)} (${quantile(name, verb, 0.99).toFixed(0)})`
  console.log('microseconds, p50 (p99)'.padEnd(26) + VERBS.map((verb) => verb.padStart(20)).join(''))
  for (const name of Object.keys(found)) {
    console.log(name.padEnd(26) + VERBS.map((verb) => cell(name, verb).padStart(20)).join(''))
  }
  for (const durability of ['full', 'normal']) {
    for (const peer of [`gastown in Rust, ${durability}`, `better-sqlite3, ${durability}`]) {
      const ratio = (verb) => (quantile(`gastown, ${durability}`, verb, 0.5) / quantile(peer, verb, 0.5)).toFixed(2)
      console.log(`gastown, ${durability} / ${peer}: ${VERBS.map(ratio).join(', ')}`)
    }
  }
} finally {
  rmSync(folder, { recursive: true })
}

'use strict'

// Shared parts of the tests: a town that is closed at the test's end, and a repository.
const { execFileSync, spawn } = require('node:child_process')
const { randomUUID } = require('node:crypto')
const { once } = require('node:events')
const { mkdtempSync, rmSync, writeFileSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { open } = require('..')

function folder(t) {
  const path = mkdtempSync(join(tmpdir(), 'gastown-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

async function town(t, options) {
  const path = folder(t)
  const town = await open(join(path, 'town'), options)
  t.after(() => town.close())
  return { town, path }
}

/** A schema of a private Postgres that no other test has; the server is there while the test runs. */
async function postgres(t) {
  const program = join(__dirname, '..', '..', 'tools', 'test-postgres')
  const held = spawn(program, ['hold'], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.after(() => held.stdin.end())
  const [line] = await Promise.race([once(held.stdout, 'data'), once(held, 'exit')])
  if (typeof line !== 'object') throw new Error('there is no Postgres for the tests; see above')
  return `${String(line).trim()}&schema=n${randomUUID().replaceAll('-', '')}`
}

const WHO = ['-c', 'user.name=Tess', '-c', 'user.email=tess@example.org', '-c', 'init.defaultBranch=main']

function git(path, ...args) {
  return execFileSync('git', ['-C', path, ...WHO, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim()
}

/** A bare repository with one commit on `main`. */
function origin(path) {
  git(path, 'init', '-q', 'seed')
  writeFileSync(join(path, 'seed', 'README.md'), '# Harbour\n')
  git(join(path, 'seed'), 'add', '.')
  git(join(path, 'seed'), 'commit', '-q', '-m', 'Begin')
  git(path, 'clone', '-q', '--bare', 'seed', 'origin.git')
  return join(path, 'origin.git')
}

/** The first event of a kind. */
async function until(town, kind, subject) {
  for await (const event of town.events.watch({ signal: AbortSignal.timeout(120_000) })) {
    if (event.kind === kind && (subject ?? event.subject) === event.subject) return event
  }
}

module.exports = { folder, git, origin, postgres, town, until }

'use strict'

const assert = require('node:assert/strict')
const { spawnSync } = require('node:child_process')
const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { test } = require('node:test')
const { folder } = require('./parts.js')

test('the program in the README runs', (t) => {
  const text = readFileSync(join(__dirname, '..', '..', 'README.md'), 'utf8')
  const programs = [...text.matchAll(/^```js\n(.*?)^```/gms)]
  assert.equal(programs.length, 1)
  // A module's text finds the package from the folder it is run in, and makes its town elsewhere.
  const program = programs[0][1].replace("'my-town'", JSON.stringify(join(folder(t), 'my-town')))
  const options = { cwd: join(__dirname, '..'), encoding: 'utf8', timeout: 60_000 }
  const ended = spawnSync(process.execPath, ['--input-type=module', '-e', program], options)
  assert.deepEqual([ended.status, ended.stderr], [0, ''])
  const shown = ["[ 'Fix the flaky test' ]", "bead_missing { bead: 'hq-none' }", '1 town.founded', '2 bead.created', '3 bead.created', '']
  assert.deepEqual(ended.stdout.split('\n'), shown)
})

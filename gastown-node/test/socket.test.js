'use strict'

const assert = require('node:assert/strict')
const { statSync } = require('node:fs')
const { join } = require('node:path')
const { test } = require('node:test')
const { open } = require('../index.js')
const { town: opened } = require('./parts.js')

test('a socket is one process\'s at a time', async (t) => {
  const { town } = await opened(t)
  await town.serve()
  await town.serve()
  assert.ok(statSync(join(town.dir, 'gastown.sock')).isSocket())
  const other = await open(town.dir)
  t.after(() => other.close())
  await assert.rejects(other.serve(), { code: 'socket_taken' })
  await town.stop()
  await other.serve()
})

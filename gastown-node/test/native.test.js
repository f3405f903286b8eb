'use strict'

const assert = require('node:assert/strict')
const { copyFileSync } = require('node:fs')
const { join } = require('node:path')
const { test } = require('node:test')
const { folder } = require('./parts.js')

test('a package that was not built says how it is built', (t) => {
  const copy = join(folder(t), 'native.js')
  copyFileSync(join(__dirname, '..', 'native.js'), copy)
  assert.throws(() => require(copy), /gastown is not built: .*\.node is missing; run `make build-node`/)
})

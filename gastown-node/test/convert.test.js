'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { fromNative, toNative } = require('../convert.js')
const { probe } = require('../native.js')
const { Handle } = require('../town.js')

const echo = (value) => new Handle(probe()).call('probe.echo', value)

test('keys are re-cased on the way in and on the way out', () => {
  const input = { issueType: 'bug', tasks: [{ deferUntil: 7 }], gone: undefined }
  const native = { issue_type: 'bug', tasks: [{ defer_until: 7 }] }
  assert.deepEqual(toNative(input), native)
  assert.deepEqual(fromNative(native), { issueType: 'bug', tasks: [{ deferUntil: 7 }] })
})

test("a caller's own keys are never re-cased", async () => {
  const metadata = { camelCase: 1, snake_case: { someKey: [{ other_key: 2 }] }, 'gt:x-Y': 3 }
  assert.deepEqual(toNative({ metadata }), { metadata })
  assert.deepEqual(await echo({ metadata }), { metadata })
})

test('a field in snake case is refused with the name that is right', () => {
  assert.throws(() => toNative({ issue_type: 'bug' }), { code: 'field_name', message: /issueType/ })
})

test('JSON comes back as it went', async () => {
  for (const value of [null, true, 0, -7, 0.5, Number.MAX_SAFE_INTEGER, '', 'Überraschung 🚚', [], [1, null], {}, { a: { b: 1 } }]) {
    assert.deepEqual(await echo({ value }), { value })
  }
})

test('a BigInt of 64 bits comes back as a BigInt where a number is not exact', async () => {
  for (const value of [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n]) {
    assert.deepEqual(await echo({ value }), { value })
  }
  assert.deepEqual(await echo({ value: 7n }), { value: 7 })
})

test('a number that only a fraction can hold comes back as it was', async () => {
  for (const value of [1e300, -1e300, 2 ** 64, Number.MAX_VALUE, 5e-324]) {
    assert.deepEqual(await echo({ value }), { value })
  }
})

test('an own key named __proto__ is data', async () => {
  const text = '{"__proto__":{"polluted":true},"a\\u0000b":1,"\\u0000c":2}'
  const { metadata } = await echo({ metadata: JSON.parse(text) })
  assert.deepEqual(Object.entries(metadata).sort(), Object.entries(JSON.parse(text)).sort())
  assert.equal(Object.getPrototypeOf(metadata), Object.prototype)
  assert.equal(metadata.polluted, undefined)
})

for (const [what, value, code] of [
  ['infinity', Infinity, 'value_range'],
  ['not a number', NaN, 'value_range'],
  ['an integer that is not exact', 2 ** 53, 'value_range'],
  ['a larger one', 2 ** 63, 'value_range'],
  ['a BigInt beyond 64 bits', 2n ** 63n, 'value_range'],
  ['a lone surrogate', '\ud800', 'value_text'],
  ['a function', () => {}, 'value_type'],
  ['a symbol', Symbol('x'), 'value_type'],
  ['a date', new Date(0), 'value_type'],
  ['a buffer', Buffer.from('x'), 'value_type'],
  ['a map', new Map(), 'value_type'],
]) {
  test(`${what} is refused`, async () => {
    await assert.rejects(echo({ metadata: [value] }), { kind: 'invalid', code, facts: { path: 'metadata.0' } })
  })
}

test('an object that holds itself is refused', async () => {
  const endless = {}
  endless.self = endless
  await assert.rejects(echo({ metadata: endless }), { kind: 'invalid', code: 'value_depth' })
})

test('an input that is no object is refused', async () => {
  for (const input of [null, [], 'title', 7]) {
    await assert.rejects(echo(input), { kind: 'invalid', code: 'value_type' })
  }
})

'use strict'

// Reads `index.d.ts` and checks values against its types, strictly: no field too many, none missing.
const assert = require('node:assert/strict')
const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const ts = require('typescript')
const { toCamel } = require('../names.js')

const file = join(__dirname, '..', 'index.d.ts')
const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.ES2022, true)
const types = new Map(
  source.statements.filter((node) => ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)).map((node) => [node.name.text, node]),
)

/** The members of an interface, by name. */
function members(name) {
  const node = types.get(name)
  assert.ok(node !== undefined, `index.d.ts has no ${name}`)
  return new Map((node.members ?? []).map((member) => [member.name.text, member]))
}

/** The words of a union. */
function words(name) {
  return types.get(name).type.types.map((type) => type.literal.text)
}

/** Fails where the value is not of the type of that name. */
function check(value, name) {
  record(value, types.get(name).members, name, false)
}

function record(value, declared, place, required) {
  assert.ok(value !== null && typeof value === 'object' && !Array.isArray(value), `${place} is no object`)
  const names = declared.map((member) => member.name.text)
  assert.deepEqual(Object.keys(value).filter((key) => !names.includes(key)), [], `${place} has fields that are not declared`)
  for (const member of declared) {
    const name = member.name.text
    const optional = member.questionToken !== undefined && !required
    assert.ok(name in value || optional, `${place}.${name} is missing`)
    if (name in value) {
      assert.ok(fits(value[name], member.type, `${place}.${name}`), `${place}.${name} is ${JSON.stringify(value[name])}`)
    }
  }
}

function fits(value, type, place) {
  switch (type.kind) {
    case ts.SyntaxKind.StringKeyword:
      return typeof value === 'string'
    case ts.SyntaxKind.NumberKeyword:
      return Number.isSafeInteger(value)
    case ts.SyntaxKind.BooleanKeyword:
      return typeof value === 'boolean'
    case ts.SyntaxKind.LiteralType:
      return type.literal.kind === ts.SyntaxKind.NullKeyword ? value === null : value === type.literal.text
    case ts.SyntaxKind.UnionType:
      return type.types.some((one) => fits(value, one, place))
    case ts.SyntaxKind.IntersectionType:
      // `string & {}` is any string: it keeps an editor's suggestions of the known ones.
      return type.types.filter((one) => one.members?.length !== 0).every((one) => fits(value, one, place))
    case ts.SyntaxKind.TypeLiteral:
      return Object.keys(value).length === type.members.length && type.members.every(({ name, type }) => fits(value[name.text], type, place))
    case ts.SyntaxKind.ParenthesizedType:
      return fits(value, type.type, place)
    case ts.SyntaxKind.ArrayType:
      if (!Array.isArray(value)) return false
      return value.every((item, at) => fits(item, type.elementType, `${place}[${at}]`))
    case ts.SyntaxKind.TypeReference: {
      const name = type.typeName.text
      if (name === 'Required') {
        record(value, types.get(type.typeArguments[0].typeName.text).members, place, true)
        return true
      }
      if (['Record', 'Readonly'].includes(name) && type.typeArguments.length === 2) {
        return Object.entries(value).every(([key, item]) => fits(item, type.typeArguments[1], `${place}.${key}`))
      }
      if (name === 'Uint8Array') return value instanceof Uint8Array
      if (name === 'Timestamp') return Number.isSafeInteger(value)
      if (name === 'Seconds') return Number.isFinite(value)
      if (['Json', 'JsonObject'].includes(name)) return true
      const named = types.get(name)
      if (ts.isTypeAliasDeclaration(named)) return fits(value, named.type, place)
      if (value === null) return false
      record(value, named.members, place, false)
      return true
    }
    default:
      throw new Error(`${place}: the test knows no type of kind ${ts.SyntaxKind[type.kind]}`)
  }
}

/** A handle whose every answer is checked against its declared type. */
function checked(handle, operations, called = new Set()) {
  const strict = {}
  for (const { name, output } of operations) {
    const [noun, verb] = name.split('.').map(toCamel)
    strict[noun] ??= {}
    strict[noun][verb] = async (...args) => {
      const answer = await handle[noun][verb](...args)
      check(answer, output)
      called.add(name)
      return answer
    }
  }
  return strict
}

module.exports = { check, checked, members, words }

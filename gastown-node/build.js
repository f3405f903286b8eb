'use strict'

// Builds the native half and puts it beside `native.js`; arguments go to cargo (`npm run build -- --release`).
const { spawnSync } = require('node:child_process')
const { copyFileSync, renameSync } = require('node:fs')
const { join } = require('node:path')

const built = spawnSync(
  'cargo',
  ['build', '--package', 'gastown-node', '--message-format', 'json-render-diagnostics', ...process.argv.slice(2)],
  { cwd: __dirname, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 2 ** 28 },
)
if (built.error !== undefined || built.status !== 0) {
  console.error(built.error?.message ?? 'cargo build failed')
  process.exit(1)
}

const library = built.stdout
  .split('\n')
  .filter((line) => line.startsWith('{'))
  .map((line) => JSON.parse(line))
  .find((message) => message.reason === 'compiler-artifact' && message.target.name === 'gastown_node')
  .filenames.find((name) => /\.(so|dylib|dll)$/.test(name))

// Renamed into place: overwriting a library that a running process has loaded would kill that process.
const place = join(__dirname, `gastown.${process.platform}-${process.arch}.node`)
copyFileSync(library, `${place}.new`)
renameSync(`${place}.new`, place)

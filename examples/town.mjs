// A town at work: twelve tasks become commits on the target branch of a repository.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { open } from '../gastown-node/index.js'

// An agent is any program that commits on its branch and ends with 0. This one fails at its first try of the sails.
const WORKER = `
set -e
[ "$GASTOWN_TITLE" != "sew the sails" ] || [ "$GASTOWN_FAILURES" != 0 ] || exit 1
echo done > "$GASTOWN_BEAD.txt"
git add -A
git commit -q -m "$GASTOWN_TITLE"
`
const TASKS = [
  ['lay the keel', []], ['bend the ribs', [0]], ['cut the planks', [0]], ['close the hull', [1, 2]],
  ['raise the mast', [3]], ['set the shrouds', [4]], ['sew the sails', [5]], ['twist the ropes', []],
  ['forge the anchor', [7]], ['mix the paint', []], ['load the stores', []], ['launch', [3, 6, 8, 9, 10]],
]

/** A bare repository with one commit on `main`. */
function makeOrigin(folder) {
  const who = ['-c', 'user.name=Tess', '-c', 'user.email=tess@example.org', '-c', 'init.defaultBranch=main']
  const git = (...args) => execFileSync('git', [...who, ...args], { cwd: folder })
  git('init', '-q', 'seed')
  git('-C', 'seed', 'commit', '-q', '--allow-empty', '-m', 'Begin')
  git('clone', '-q', '--bare', 'seed', 'origin.git')
  return join(folder, 'origin.git')
}

const folder = mkdtempSync(join(tmpdir(), 'gastown-'))
const town = await open(join(folder, 'town'))
try {
  const settings = { 'agent.command': ['sh', '-c', WORKER], 'failures.backoff_ms': [0] }
  await town.rigs.add({ name: 'harbour', remote: makeOrigin(folder), settings })
  for (const name of ['ash', 'elm', 'fir', 'oak']) await town.agents.register({ name, rig: 'harbour' })
  const tasks = TASKS.map(([title, dependsOn]) => ({ title, dependsOn }))
  const convoy = await town.convoys.sling({ title: 'a ship', rig: 'harbour', tasks })
  await town.start()
  for await (const event of town.events.watch()) {
    if (event.subject === convoy.id && ['convoy.landed', 'convoy.needs_attention'].includes(event.kind)) break
  }
  const { beads } = await town.beads.list({ convoy: convoy.id })
  for (const { id, title, status, resolution } of beads.sort((a, b) => (a.title < b.title ? -1 : 1))) {
    const attempts = (await town.sessions.list({ bead: id })).sessions.length
    console.log(`${title.padEnd(16)}  ${status.padEnd(6)}  ${resolution.padEnd(9)}  ${attempts}`)
  }
  console.log(`the convoy is ${(await town.convoys.get(convoy.id)).state}`)
} finally {
  await town.close()
  rmSync(folder, { recursive: true })
}

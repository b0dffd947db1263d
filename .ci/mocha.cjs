/** All files, several at a time: those that take longest first, so that none of them is left for the end. */
const { readdirSync } = require('node:fs')
const { sep } = require('node:path')

const FOLDER = 'dist/test'

/** Above all others, the longest first: of those that are not named here none takes 20 s. */
const LONG = [
  'e2e/many.webhooks',
  'integration/queryPlans',
  'e2e/rebuild.command',
  'e2e/readme',
  'e2e/older',
  'integration/projections.property',
  'integration/retention',
  'e2e/page',
  'e2e/page.trouble',
  'e2e/page.looks',
  'e2e/page.flows',
  'e2e/rebuild',
  'integration/sqlite/filling',
  'e2e/deafLog',
  'e2e/cli.importTokens',
  'contract/mongodb.rebuild',
  'e2e/cli.audit',
  'e2e/cli.transfer',
  'e2e/twoNames',
  'e2e/many.outage',
  'e2e/many.rotation',
  'e2e/lean.alone',
  'e2e/lean.revoke',
  'e2e/lean',
  'e2e/kill',
  'e2e/damage',
  'unit/application/usage/recorder',
  'e2e/cli',
  'contract/poison',
  'e2e/stop',
  'e2e/cli.verify',
  'e2e/many.move',
  'e2e/retention',
  'e2e/many.retention',
]

const files = readdirSync(FOLDER, { recursive: true })
  .map((name) => name.replaceAll(sep, '/'))
  .filter((name) => name.endsWith('.test.js'))
const long = LONG.map((name) => `${name}.test.js`)
for (const name of long) if (!files.includes(name)) throw new Error(`${__filename} names ${name}, which is gone`)

module.exports = {
  ...require('../.mocharc.json'),
  parallel: true,
  require: '.ci/worker.cjs',
  spec: [...long, ...files.filter((name) => !long.includes(name)).sort()].map((name) => `${FOLDER}/${name}`),
}

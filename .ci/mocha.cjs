/** All files, several at a time: those that take longest first, so that none of them is left for the end. */
const { readdirSync } = require('node:fs')
const { sep } = require('node:path')

const FOLDER = 'dist/test'

/** Above all others, the longest first: of those that are not named here none takes 25 s. */
const LONG = [
  'e2e/many',
  'e2e/many.webhooks',
  'integration/queryPlans',
  'contract/mongodb.rebuild',
  'e2e/awayStore',
  'e2e/lean.alone',
  'e2e/page',
  'e2e/rebuild.command',
  'e2e/readme',
  'integration/sampler',
  'integration/eventstoredb/subscriptions',
  'e2e/cli.importTokens',
  'integration/mongodb/lost',
  'e2e/page.looks',
  'e2e/kill.rotation',
  'e2e/page.trouble',
  'e2e/lean.revoke',
  'e2e/many.outage',
  'integration/compare',
  'e2e/package',
  'contract/poison',
  'e2e/older',
  'e2e/many.revoke',
  'e2e/cli.verify',
  'integration/mongodb/watch',
  'contract/mongodb',
  'integration/sqlite/filling',
  'integration/retention',
  'e2e/deafLog',
  'e2e/restoredEventStore',
  'e2e/cli.audit',
  'e2e/many.retention',
  'e2e/lean',
  'e2e/page.flows',
  'integration/mongodb/outage',
  'integration/eventstoredb/projector',
  'e2e/many.replaced',
  'e2e/rolling',
  'integration/mongodb/room',
  'http/webhooks',
  'e2e/cli.transfer',
  'e2e/stop',
  'integration/manyTokens',
  'e2e/firstFill',
  'e2e/webhooks',
  'e2e/misconfigured',
  'e2e/many.rotation',
  'e2e/cli.basics',
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

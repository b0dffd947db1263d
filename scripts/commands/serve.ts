import { readSettings } from '../../src/settings/settings.ts'
import { defineCommand } from '../cli/command.ts'

export const serveCommand = defineCommand({
  name: 'serve',
  summary: 'Start the service, as npm start does.',
  usage: '',
  help: [
    'Its log is on standard output: lines of JSON, or outside production text for people where that is a terminal',
    '(LOG_FORMAT). Where there are no keys, and NODE_ENV is not production, it makes some in data/dev-secrets.json and',
    'prints two commands to begin with, and a link to the page. SIGTERM and SIGINT stop it in order: readiness turns red,',
    'requests under way end, usage is stored; a second one ends it at once.',
  ].join('\n'),
  args: [],
  options: {},
  async run(_, io) {
    // Wrong settings count as wrong use, as in every command. They are reported before the service takes over the
    // process.
    readSettings(io.env)
    // It is loaded only here, so that other commands start without the parts that only a service needs.
    const { serve } = await import('../../src/serve.ts')
    return serve()
  },
})

import { existsSync } from 'node:fs'
import { readModelFile } from '../../src/stores/open.ts'
import { defineCommand, JSON_OPTION, WrongUse } from '../cli/command.ts'
import { json } from '../cli/output.ts'
import { storedSettings } from '../cli/storedSettings.ts'
import { NoDataError } from '../cli/stores.ts'

export const readModel = defineCommand({
  name: 'read-model',
  summary: 'Which file the read model is in now, for queries of your own: read-model --path.',
  usage: '--path [--json]',
  help: [
    'A rebuild leaves the read model of SQLite in another file than READ_MODEL_URL names. Works beside the service, which',
    'may change the file at any time: ask again before each query. Open it for reading only.',
  ].join('\n'),
  args: [],
  options: {
    path: { type: 'boolean', help: 'Print the path of the live SQLite file.' },
    json: JSON_OPTION,
  },
  async run({ values }, io) {
    const settings = storedSettings(io)
    if (!values.path) throw new WrongUse('What can be shown: --path.')
    const path = readModelFile(settings.readModelUrl)
    if (path === null) throw new WrongUse('READ_MODEL_URL names a server: there is no file.')
    if (!existsSync(path))
      throw new NoDataError(`There is no read model yet at ${path}: start the service once.`)
    io.out(values.json ? json({ path }) : `${path}\n`)
    return 0
  },
})

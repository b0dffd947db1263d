import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { apiOf } from '../support/callers/api.ts'
import { blocksOf, textOf } from '../support/project/documents.ts'
import { jwtFor } from '../support/processes/ledger.ts'
import { endServices, startService } from '../support/processes/service.ts'

const run = promisify(execFile)

describe('the script of the page about rotation', () => {
  afterEach(endServices)

  it('gives a token another secret, and another one still where the first was lost', async () => {
    const service = await startService()
    const api = apiOf(service.url)
    const { id, token } = (await api.create({ name: 'CI deploy' })).body
    const [script] = blocksOf(textOf('docs/rotation.md')).filter(({ info }) => info === 'js')
    const file = `${service.folder}/rotate.mjs`
    writeFileSync(file, script?.text ?? '')
    const rotate = async (): Promise<string> => {
      const args = [file, `${service.url}/settings/api-tokens`, id]
      const env = { ...process.env, JWT: jwtFor('acct_1') }
      return (await run(process.execPath, args, { env })).stdout.trim()
    }
    const lost = await rotate()
    const made = await rotate()
    expect(new Set([token, lost, made]).size).to.equal(3)
    expect([await api.use(lost), await api.use(token), await api.use(made)]).to.deep.equal([401, 200, 200])
  })
})

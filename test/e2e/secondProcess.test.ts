import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { apiOf } from '../support/callers/api.ts'
import { endServices, failingService, ownFolder, startService } from '../support/processes/service.ts'

describe('a second service on the same files', () => {
  afterEach(endServices)

  it('is told so at once, and the first does not notice', async () => {
    const first = await startService({ USAGE_FLUSH_MS: '20' })
    const api = apiOf(first.url)
    const { id, token } = (await api.create({ name: 'mine' })).body
    let running = true
    const statuses: Record<number, number> = {}
    const load = async () => {
      for (let n = 0; running; n++) {
        const status = n % 5 ? await api.use(token) : (await api.patch(id, { name: `name ${n}` })).status
        statuses[status] = (statuses[status] ?? 0) + 1
      }
    }
    const loading = Promise.all([load(), load()])
    for (let attempt = 0; attempt < 2; attempt++) {
      const { code, stderr, stdout } = await failingService({}, first.folder)
      expect(code).to.equal(1)
      expect(stderr).to.match(/events\.db is in use: another process .*\. Is the service running already\?/)
      expect(stderr.trim().split('\n'), 'one line, no stack').to.have.lengthOf(1)
      expect(stdout).to.not.include('listening')
    }
    running = false
    await loading
    expect(Object.keys(statuses)).to.deep.equal(['200'])
    expect(await first.stop()).to.equal(0)
  })

  it('is told so for each of the two files, and under another name of the file', async () => {
    const first = await startService()
    const folder = await ownFolder()
    await symlink(join(first.folder, 'data'), join(folder, 'elsewhere'))
    const readModel = await failingService(
      { READ_MODEL_URL: `sqlite:${first.folder}/data/read-model.db` },
      folder,
    )
    expect(readModel.stderr).to.match(
      /read-model\.db is in use: .*\. Is the service running already\? .* a file of its own in READ_MODEL_URL/,
    )
    const events = await failingService({ EVENT_STORE_URL: 'sqlite:./elsewhere/events.db' }, folder)
    expect(events.stderr).to.match(/events\.db is in use/)
    expect([readModel.code, events.code]).to.deep.equal([1, 1])
  })

  it('takes over at once when the first was killed', async () => {
    const first = await startService()
    const { token } = (await apiOf(first.url).create({ name: 'mine' })).body
    await first.kill()
    const second = await startService({}, first.folder)
    expect(await apiOf(second.url).use(token)).to.equal(200)
  })
})

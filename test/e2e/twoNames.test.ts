import { expect } from 'chai'
import { apiOf } from '../support/callers/api.ts'
import { eventually } from '../support/suite/eventually.ts'
import { describeWithMounts } from '../support/suite/needs.ts'
import { OTHER_NAMES } from '../support/processes/otherNames.ts'
import { endServices, failingService, startService } from '../support/processes/service.ts'
import { stopwatch } from '../support/suite/stopwatch.ts'

const IN_CONTAINER = 'its own name, without the lock file, in another container'

describe('a second service on the same event store, under another name', () => {
  afterEach(endServices)

  for (const [name, otherNameOf] of Object.entries(OTHER_NAMES)) {
    if (name === IN_CONTAINER) continue
    it(`is told so at once: ${name}`, async () => {
      const first = await startService()
      const api = apiOf(first.url)
      await api.create({ name: 'before' })
      const { folder, command } = await otherNameOf(first.folder)
      const { code, stderr } = await failingService({}, folder, command)
      expect(code, stderr).to.equal(1)
      expect(stderr).to.match(/events\.db is in use/)
      expect(stderr.trim().split('\n'), 'one line, no stack').to.have.lengthOf(1)
      // A write to a file that has lost its name would be lost when the process ends.
      const isMoved = name === 'a new name'
      expect((await api.create({ name: 'after' })).status).to.equal(isMoved ? 503 : 201)
      if (isMoved) return
      expect((await api.list()).body.data.map((token) => token.name)).to.deep.equal(['before', 'after'])
    })
  }
})

describeWithMounts('two services that cannot see each other on one event store', () => {
  afterEach(endServices)

  it('are one, since the first gives way: it answers neither from the past nor with a verdict', async () => {
    const first = await startService({ USAGE_FLUSH_MS: '50' })
    const api = apiOf(first.url)
    const { id, token } = (await api.create({ name: 'before' })).body
    expect(await api.use(token)).to.equal(200)
    const inContainer = OTHER_NAMES[IN_CONTAINER]
    if (!inContainer) throw new Error('no such name')
    const { folder, command } = await inContainer(first.folder)
    const second = await startService({ USAGE_FLUSH_MS: '50' }, folder, command)
    expect((await apiOf(second.url).revoke(id)).status).to.equal(204)
    const took = stopwatch()
    while ((await api.use(token)) === 200) expect(took()).to.be.below(2_000)
    expect(await api.use(token)).to.equal(503)
    expect((await api.create({ name: 'by the first' })).status).to.equal(503)
    expect((await api.call('GET', '/health/ready')).status).to.equal(503)
    expect((await apiOf(second.url).create({ name: 'by the second' })).status).to.equal(201)
    await eventually(() => expect(first.output()).to.include('another process has taken the file over'))
    await first.stop()
    expect((await apiOf(second.url).list()).body.data.map(({ name }) => name)).to.deep.equal([
      'before',
      'by the second',
    ])
  })
})

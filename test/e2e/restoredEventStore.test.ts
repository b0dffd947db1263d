import { execFile } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { type Api, apiOf, type CreatedToken } from '../support/callers/api.ts'
import { type FakeDocker, fakeDocker } from '../support/processes/docker.ts'
import { blocksOf, textOf } from '../support/project/documents.ts'
import { within } from '../support/stores/dump.ts'
import { eventually } from '../support/suite/eventually.ts'
import { describeWithMongod, type Mongod, startMongod } from '../support/stores/mongod.ts'
import {
  endServices,
  failingService,
  ownFolder,
  type ServiceProcess,
  startService,
} from '../support/processes/service.ts'
import { type StandInProcess, startStandInProcess } from '../support/standIn/process.ts'

const run = promisify(execFile)

/** Where the image has its data, as the recipes say. */
const VOLUME = '/var/lib/eventstore'
const blocks = blocksOf(textOf('docs/running.md')).map(({ text }) => text)
const [backUp = '', restore = ''] = ['> eventstore.tgz', '< eventstore.tgz'].map((end) =>
  blocks.find((text) => text.includes(end)),
)
const DROP = /^docker compose exec mongo .*\n/m

describeWithMongod('the recipe that restores an EventStoreDB (stand-in)', () => {
  let folder: string
  let data: string
  let mongod: Mongod
  let docker: FakeDocker
  let eventStore: StandInProcess
  let service: ServiceProcess
  let api: Api
  let env: Record<string, string>
  let [good, revoked]: CreatedToken[] = []
  /** How starts of the event store went that did not come to serve. */
  let ended: string[]

  /** As a supervisor does: what ends is started again. */
  async function startEventStore(): Promise<void> {
    const start = () => startStandInProcess({ port: eventStore?.port ?? 0, folder: data })
    try {
      eventStore = await start()
    } catch (error) {
      ended.push(String(error))
      eventStore = await start()
    }
  }

  async function compose(args: readonly string[]): Promise<void> {
    switch (args.join(' ')) {
      case 'stop eventstore':
        return eventStore.kill()
      case 'start eventstore':
        return startEventStore()
      case '--profile app stop':
        await service.stop()
        return eventStore.kill()
      case 'up -d --wait':
        return startEventStore()
      case 'exec mongo mongosh tokenledger --eval db.dropDatabase()':
        return within(env.READ_MODEL_URL ?? '', async (client) => void (await client.db().dropDatabase()))
      default:
        throw new Error(`nothing is known of ${args.join(' ')}`)
    }
  }

  const shell = (commands: string) =>
    run('bash', ['-e', '-o', 'pipefail', '-c', commands], { cwd: folder, env: docker.env })

  beforeEach(async () => {
    ended = []
    folder = await ownFolder()
    data = join(folder, 'eventstore')
    mkdirSync(join(folder, 'bin'))
    docker = await fakeDocker(join(folder, 'bin'), { path: VOLUME, folder: data }, compose)
    mongod = await startMongod({ set: 'rs0' })
    await startEventStore()
    env = {
      EVENT_STORE_URL: `esdb://127.0.0.1:${eventStore.port}?tls=false`,
      READ_MODEL_URL: `mongodb://127.0.0.1:${mongod.port}/tokenledger?directConnection=true`,
      USAGE_FLUSH_MS: '100',
    }
    service = await startService(env, folder)
    api = apiOf(service.url)
    good = (await api.create({ name: 'good' })).body
    revoked = (await api.create({ name: 'revoked after the backup' })).body
    await shell(backUp)
    await eventually(async () => expect((await api.revoke(revoked?.id ?? '')).status).to.equal(204))
    for (let n = 0; n < 5; n++) await api.create({ name: `after the backup ${n}` })
  })
  afterEach(async () => {
    await endServices()
    await docker.close()
    await eventStore.kill()
    await mongod.stop()
  })

  it('brings back what was there at the backup, and the service goes on from it', async () => {
    await shell(restore)
    expect(ended).to.deep.equal(['Error: the stand-in ended with exit code 0'])
    service = await startService(env, folder)
    api = apiOf(service.url)
    expect(await api.use(good?.token ?? '')).to.equal(200)
    expect(await api.use(revoked?.token ?? ''), 'the revocation is gone').to.equal(200)
    expect((await api.list()).body.data.map(({ name }) => name)).to.have.members([good?.name, revoked?.name])
    expect((await api.revoke(revoked?.id ?? '')).status).to.equal(204)
    expect((await api.call('GET', '/health/ready')).status).to.equal(200)
  })

  it('needs the step that drops the read model: without it no service starts, and each says which command that is', async () => {
    expect(restore).to.match(DROP)
    await shell(restore.replace(DROP, ''))
    const { code, stdout, stderr } = await failingService(env, folder)
    expect(code).to.equal(1)
    expect(stdout + stderr).to.contain("--eval 'db.dropDatabase()'")
  })
})

// Everything that the app needs, in a resource group of its own. The Event Grid subscription is not here: Event
// Grid accepts it only when the function exists, so infra/scripts/postdeploy.py deploys events.bicep later.
targetScope = 'subscription'

@minLength(1)
@maxLength(32)
@description('Name of the azd environment; names the resource group and, hashed, everything in it.')
param environmentName string

// Regions that offer Flex Consumption and Azure DocumentDB (docs/deployment.md names the sources) and, to the best
// of our knowledge, Notification Hubs. A region that is missing can be added here.
@allowed([
  'australiaeast'
  'brazilsouth'
  'canadacentral'
  'centralindia'
  'centralus'
  'eastasia'
  'eastus'
  'eastus2'
  'francecentral'
  'germanywestcentral'
  'japaneast'
  'koreacentral'
  'northcentralus'
  'northeurope'
  'norwayeast'
  'southafricanorth'
  'southcentralus'
  'southeastasia'
  'swedencentral'
  'uaenorth'
  'uksouth'
  'westcentralus'
  'westeurope'
  'westus'
  'westus2'
  'westus3'
])
@metadata({
  azd: {
    type: 'location'
  }
})
@description('Azure region of everything but the Event Grid topic.')
param location string

@minLength(1)
@description('Resource id of the existing Communication Services resource whose calls ring.')
param communicationServiceId string

@allowed(['trial', 'production'])
@description('trial: the smallest tiers, no redundancy, cold starts. The tiers below override single choices.')
param profile string = 'production'

@description('Receives the alerts; without it they show in the portal only.')
param alertEmail string = ''

@description('True puts storage and database behind private endpoints of a virtual network that the app joins.')
param vnetEnabled bool = false

@description('True makes an Azure DocumentDB cluster; false needs mongoDbConnectionString at the first deployment.')
param createDatabase bool = true

@allowed(['identity', 'password'])
@description('How the app signs in to a database that this deployment makes.')
param databaseSignIn string = 'identity'

@allowed(['readWrite', 'root'])
@description('Role of the app in the database when it signs in with its identity; root is the fallback.')
param databaseRole string = 'readWrite'

@description('True reuses the administrator password in the key vault; false makes a new one.')
param keepDatabaseAdministrator bool = false

@secure()
@description('Password of the administrator where keepDatabaseAdministrator is false; kept in the key vault.')
// checkov:skip=CKV_AZURE_131: newGuid() is no constant: each deployment gets another value
param databasePassword string = newGuid()

@description('True brings a deleted key vault of this name back: its name stays taken for seven days.')
param recoverKeyVault bool = false

@secure()
@description('Of an existing MongoDB. Empty leaves the one in the key vault as it is.')
param mongoDbConnectionString string = ''

@description('True makes namespace and hub. Deploying an existing hub again can remove its push credentials.')
param createNotificationHub bool = false

@description('Namespaces and hubs that are in the own resource group: namespace,namespace/hub,… None is made again.')
param existingHubs string = ''

@description('Resource group of an existing hub; empty for the own resource group.')
param notificationHubResourceGroup string = ''

@description('Namespace of the hub; empty for a generated name.')
param notificationHubNamespace string = ''

@description('Name of the hub.')
param notificationHubName string = 'calling'

@secure()
@description('Base64 of the JSON of ApnsCredentialProperties; used when the hub is made.')
param apnsCredential string = ''

@secure()
@description('Base64 of the JSON of FcmV1CredentialProperties; used when the hub is made.')
param fcmV1Credential string = ''

@secure()
@description('Base64 of the JSON of BrowserCredentialProperties; used when the hub is made.')
param browserCredential string = ''

@description('Further hubs, each { name, hubName, namespace?, resourceGroup?, create?, tier? }: docs/hubs.md.')
param moreHubs array = []

@allowed(['', 'Free', 'Basic', 'Standard'])
@description('Tier of a new hub. Standard reports what became of pushes and which device tokens are dead.')
param hubTier string = ''

@description('Compute tier of the database: Free, M10, M20, M30, …; high availability needs M30 or more.')
param databaseTier string = ''

@allowed(['', 'Disabled', 'SameZone', 'ZoneRedundantPreferred'])
@description('Standby of the database.')
param databaseHighAvailability string = ''

@minValue(32)
@description('Disk of the database, in GiB. It cannot be made smaller later.')
param databaseStorageGb int = 32

@allowed(['', 'Standard_LRS', 'Standard_ZRS'])
@description('Redundancy of the storage account of the Functions host.')
param storageSku string = ''

@minValue(-1)
@description('Instances that are always ready for incoming calls; -1 leaves the choice to the profile.')
param alwaysReadyInstances int = -1

@minValue(0)
@description('Instances that are always ready for HTTP requests: registrations and reports of phones.')
param alwaysReadyHttpInstances int = 0

@minValue(1)
@maxValue(1000)
@description('Instances at most.')
param maximumInstances int = 40

@allowed([512, 2048, 4096])
@description('Memory of an instance.')
param instanceMemoryMB int = 2048

@minValue(30)
@maxValue(730)
@description('How long log lines are kept, in days. They hold fingerprints, no names and no tokens.')
param logRetentionDays int = 30

@description('App settings that differ from the defaults in modules/function-app.bicep, by name.')
param settings object = {}

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName }
var trial = profile == 'trial'
var vaultName = 'kv-${token}'
var hubNamespace = empty(notificationHubNamespace) ? 'ntfns-${token}' : notificationHubNamespace
var hubGroupName = empty(notificationHubResourceGroup) ? group.name : notificationHubResourceGroup

// The further hubs, with what was left open. A secret's name knows no underscore, a hub's name no hyphen.
var present = split(toLower(existingHubs), ',')
var furtherHubs = [for each in moreHubs: {
  name: toLower(each.name)
  hubName: each.hubName
  namespace: each.?namespace ?? hubNamespace
  group: (each.?create ?? false) ? group.name : (each.?resourceGroup ?? hubGroupName)
  make: (each.?create ?? false) && !contains(present, toLower('${each.?namespace ?? hubNamespace}/${each.hubName}'))
  tier: each.?tier ?? chosenHubTier
  entryName: 'hub-${replace(toLower(each.name), '_', '-')}-connection-string'
}]
var hubsToMake = filter(furtherHubs, each => each.make)
var namespacesToMake = [for each in hubsToMake: toLower(each.namespace)]
// Not changed by a hub that is made in them: a namespace is deployed once.
var namespaces = createNotificationHub ? concat(present, [toLower(hubNamespace)]) : present

var byIdentity = createDatabase && databaseSignIn == 'identity'
var newHost = createDatabase && !keepDatabaseAdministrator ? newDatabase!.outputs.host : ''
var keptHost = createDatabase && keepDatabaseAdministrator ? keptDatabase!.outputs.host : ''
var clusterName = 'mongo-${token}'

// Resource Manager evaluates the parameters of a module although the module's condition is false, and fails if they
// read what was not deployed. So the condition stands here as well.
var virtualNetworkId = vnetEnabled ? network!.outputs.id : ''
var endpointSubnetId = vnetEnabled ? network!.outputs.endpointSubnetId : ''
var appSubnetId = vnetEnabled ? network!.outputs.appSubnetId : ''

// By Microsoft's list of regions with zone-redundant storage, these of the above have none.
var regionsOfOneZone = ['northcentralus', 'westcentralus', 'westus']
var oneZone = trial || contains(regionsOfOneZone, location)
// Tiers that take no standby.
var tiersAlone = ['Free', 'M10', 'M20', 'M25']
var alone = trial || contains(tiersAlone, chosenDatabaseTier)

// What the profile chooses, and what was chosen.
var profileHubTier = trial ? 'Free' : 'Basic'
var profileDatabaseTier = trial ? 'M10' : 'M30'
var profileHighAvailability = alone ? 'Disabled' : 'ZoneRedundantPreferred'
var profileStorageSku = oneZone ? 'Standard_LRS' : 'Standard_ZRS'
var profileAlwaysReady = trial ? 0 : 1
var chosenHubTier = empty(hubTier) ? profileHubTier : hubTier
var chosenDatabaseTier = empty(databaseTier) ? profileDatabaseTier : databaseTier
var chosenHighAvailability = empty(databaseHighAvailability) ? profileHighAvailability : databaseHighAvailability
var chosenStorageSku = empty(storageSku) ? profileStorageSku : storageSku
var chosenAlwaysReady = (alwaysReadyInstances < 0) ? profileAlwaysReady : alwaysReadyInstances

var stopRinging = settings.?StopRinging ?? 'none'
var visibleNotifications = settings.?VisibleNotifications ?? 'none'

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module identity 'modules/identity.bicep' = {
  name: 'identity'
  scope: group
  params: {
    name: 'id-${token}'
    location: location
    tags: tags
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    workspaceName: 'log-${token}'
    applicationInsightsName: 'appi-${token}'
    location: location
    tags: tags
    retentionInDays: logRetentionDays
    appPrincipalId: identity.outputs.principalId
  }
}

module network 'modules/network.bicep' = if (vnetEnabled) {
  name: 'network'
  scope: group
  params: {
    name: 'vnet-${token}'
    location: location
    tags: tags
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    name: 'st${token}'
    location: location
    tags: tags
    sku: chosenStorageSku
    appPrincipalId: identity.outputs.principalId
    privateOnly: vnetEnabled
  }
}

module blobEndpoint 'modules/private-endpoint.bicep' = if (vnetEnabled) {
  name: 'blob-endpoint'
  scope: group
  params: {
    name: 'pe-st${token}-blob'
    location: location
    tags: tags
    targetId: storage.outputs.id
    groupId: 'blob'
    zoneName: 'privatelink.blob.${environment().suffixes.storage}'
    virtualNetworkId: virtualNetworkId
    subnetId: endpointSubnetId
  }
}

module tableEndpoint 'modules/private-endpoint.bicep' = if (vnetEnabled) {
  name: 'table-endpoint'
  scope: group
  params: {
    name: 'pe-st${token}-table'
    location: location
    tags: tags
    targetId: storage.outputs.id
    groupId: 'table'
    zoneName: 'privatelink.table.${environment().suffixes.storage}'
    virtualNetworkId: virtualNetworkId
    subnetId: endpointSubnetId
  }
}

module deadLetters 'modules/dead-letters.bicep' = {
  name: 'dead-letters'
  scope: group
  params: {
    name: 'stdl${token}'
    location: location
    tags: tags
    trustedServicesOnly: vnetEnabled
  }
}

module vault 'modules/key-vault.bicep' = {
  name: 'key-vault'
  scope: group
  params: {
    name: vaultName
    location: location
    tags: tags
    recover: recoverKeyVault
    workspaceId: monitoring.outputs.workspaceId
  }
}

// The vault as it was before this deployment. Resource Manager reads the password from it by the right to deploy, so
// that a second operator or a pipeline needs no role that reads secrets.
resource keptVault 'Microsoft.KeyVault/vaults@2025-05-01' existing = {
  name: vaultName
  scope: group
}

module newDatabase 'modules/database.bicep' = if (createDatabase && !keepDatabaseAdministrator) {
  name: 'database'
  scope: group
  params: {
    name: clusterName
    location: location
    tags: tags
    tier: chosenDatabaseTier
    highAvailability: chosenHighAvailability
    storageGb: databaseStorageGb
    administratorPassword: databasePassword
    vaultName: vault.outputs.name
    appPrincipalId: identity.outputs.principalId
    appSignIn: databaseSignIn
    appRole: databaseRole
    databaseName: settings.?DbName ?? 'calling'
    workspaceId: monitoring.outputs.workspaceId
    privateOnly: vnetEnabled
  }
}

module keptDatabase 'modules/database.bicep' = if (createDatabase && keepDatabaseAdministrator) {
  name: 'database-again'
  scope: group
  params: {
    name: clusterName
    location: location
    tags: tags
    tier: chosenDatabaseTier
    highAvailability: chosenHighAvailability
    storageGb: databaseStorageGb
    administratorPassword: keptVault.getSecret('mongodb-administrator-password')
    vaultName: vault.outputs.name
    appPrincipalId: identity.outputs.principalId
    appSignIn: databaseSignIn
    appRole: databaseRole
    databaseName: settings.?DbName ?? 'calling'
    workspaceId: monitoring.outputs.workspaceId
    privateOnly: vnetEnabled
  }
}

resource cluster 'Microsoft.DocumentDB/mongoClusters@2025-09-01' existing = {
  name: clusterName
  scope: group
}

module databaseEndpoint 'modules/private-endpoint.bicep' = if (createDatabase && vnetEnabled) {
  name: 'database-endpoint'
  scope: group
  params: {
    name: 'pe-mongo-${token}'
    location: location
    tags: tags
    targetId: cluster.id
    groupId: 'MongoCluster'
    zoneName: 'privatelink.mongocluster.cosmos.azure.com'
    virtualNetworkId: virtualNetworkId
    subnetId: endpointSubnetId
  }
  dependsOn: [newDatabase, keptDatabase]
}

module databaseSecret 'modules/secret.bicep' = if (!createDatabase && !empty(mongoDbConnectionString)) {
  name: 'database-secret'
  scope: group
  params: {
    vaultName: vault.outputs.name
    name: 'mongodb-connection-string'
    value: mongoDbConnectionString
    readerPrincipalId: identity.outputs.principalId
  }
}

// A connection string that an earlier deployment has written stays; the role on it may still be missing.
module databaseSecretReader 'modules/secret-reader.bicep' = if (!createDatabase && empty(mongoDbConnectionString)) {
  name: 'database-secret-reader'
  scope: group
  params: {
    vaultName: vault.outputs.name
    name: 'mongodb-connection-string'
    readerPrincipalId: identity.outputs.principalId
  }
}

module hub 'modules/notification-hub.bicep' = if (createNotificationHub) {
  name: 'notification-hub'
  scope: group
  params: {
    namespaceName: hubNamespace
    hubName: notificationHubName
    location: location
    tags: tags
    tier: chosenHubTier
    makeNamespace: !contains(present, toLower(hubNamespace))
    apnsCredential: apnsCredential
    fcmV1Credential: fcmV1Credential
    browserCredential: browserCredential
  }
}

module hubAccess 'modules/notification-hub-access.bicep' = {
  name: 'notification-hub-access'
  scope: resourceGroup(hubGroupName)
  params: {
    namespaceName: hubNamespace
    hubName: notificationHubName
    entryName: 'hub-connection-string'
    vaultName: vault.outputs.name
    vaultGroup: group.name
    appPrincipalId: identity.outputs.principalId
    workspaceId: monitoring.outputs.workspaceId
  }
  dependsOn: [hub]
}

// One after the other: the first hub of a new namespace makes it.
@batchSize(1)
module madeHubs 'modules/notification-hub.bicep' = [for (each, place) in hubsToMake: {
  name: 'notification-hub-${each.name}'
  scope: group
  params: {
    namespaceName: each.namespace
    hubName: each.hubName
    location: location
    tags: tags
    tier: each.tier
    makeNamespace: !contains(concat(namespaces, take(namespacesToMake, place)), toLower(each.namespace))
    apnsCredential: ''
    fcmV1Credential: ''
    browserCredential: ''
  }
  dependsOn: [hub]
}]

module furtherAccess 'modules/notification-hub-access.bicep' = [for each in furtherHubs: {
  name: 'notification-hub-access-${each.name}'
  scope: resourceGroup(each.group)
  params: {
    namespaceName: each.namespace
    hubName: each.hubName
    entryName: each.entryName
    vaultName: vault.outputs.name
    vaultGroup: group.name
    appPrincipalId: identity.outputs.principalId
    workspaceId: monitoring.outputs.workspaceId
  }
  dependsOn: [hub, madeHubs]
}]

module app 'modules/function-app.bicep' = {
  name: 'function-app'
  scope: group
  params: {
    name: 'func-${token}'
    planName: 'plan-${token}'
    location: location
    tags: tags
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    storageName: storage.outputs.name
    deploymentContainer: storage.outputs.deploymentContainer
    vaultUri: vault.outputs.uri
    applicationInsightsConnectionString: monitoring.outputs.connectionString
    databaseHost: byIdentity ? '${newHost}${keptHost}' : ''
    hubName: notificationHubName
    moreHubs: furtherHubs
    subnetId: appSubnetId
    alwaysReadyInstances: chosenAlwaysReady
    alwaysReadyHttpInstances: alwaysReadyHttpInstances
    maximumInstances: maximumInstances
    instanceMemoryMB: instanceMemoryMB
    overrides: settings
  }
  dependsOn: [
    databaseEndpoint
    databaseSecret
    databaseSecretReader
    hubAccess
    furtherAccess
    blobEndpoint
    tableEndpoint
  ]
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    email: alertEmail
  }
}

module workbook 'modules/workbook.bicep' = {
  name: 'workbook'
  scope: group
  params: {
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
  }
}

// azd keeps these in the environment; the hooks read them. 'azd down' deletes them there, so none has the name of a
// variable that the operator sets.
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_KEY_VAULT_NAME string = vault.outputs.name
output AZURE_FUNCTION_APP_NAME string = app.outputs.name
output AZURE_FUNCTION_APP_ID string = app.outputs.id
output EVENT_SOURCE_ID string = communicationServiceId
output DEAD_LETTER_STORAGE_ACCOUNT_ID string = deadLetters.outputs.id
output DEAD_LETTER_CONTAINER string = deadLetters.outputs.container
output ACTION_GROUP_ID string = alerts.outputs.actionGroupId
output LOG_WORKSPACE_ID string = monitoring.outputs.workspaceId
output CALL_ENDS bool = stopRinging != 'none' || contains(visibleNotifications, 'missed')
output HUB_NAMESPACE string = hubNamespace
output REGISTRAR_URL string = 'https://${app.outputs.hostName}/api'

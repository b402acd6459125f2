// Everything the app needs, in a resource group of its own. The Event Grid subscription is not here: Event
// Grid accepts it only once the function exists, so infra/scripts/postdeploy.sh makes it from events.bicep.
targetScope = 'subscription'

@minLength(1)
@maxLength(32)
@description('Name of the azd environment; names the resource group and, hashed, everything in it.')
param environmentName string

@description('Azure region; one with Flex Consumption on Python 3.13.')
param location string

@description('Entra object id of whoever deploys; may read the database password when deploying again.')
param principalId string = ''

@minLength(1)
@description('Resource id of the existing Communication Services resource whose calls shall ring.')
param communicationServiceId string

@description('Where alerts go; without it they show in the portal only.')
param alertEmail string = ''

@description('True makes an Azure DocumentDB cluster; false expects mongoDbConnectionString, at least once.')
param createDatabase bool = true

@secure()
@description('Password of the administrator of a new cluster; kept in the key vault.')
param databasePassword string

@secure()
@description('Of an existing MongoDB. Empty leaves the one in the key vault as it is.')
param mongoDbConnectionString string = ''

@description('False leaves an existing hub, and the credentials of the push services in it, untouched.')
param createNotificationHub bool = true

@description('Of an existing hub; empty for the own resource group.')
param notificationHubResourceGroup string = ''

@description('Namespace of the hub; empty for a generated name.')
param notificationHubNamespace string = ''

@description('The hub.')
param notificationHubName string = 'calling'

@description('App settings that shall differ from the defaults in modules/function-app.bicep, by name.')
param settings object = {}

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName }
var hubNamespace = empty(notificationHubNamespace) ? 'ntfns-${token}' : notificationHubNamespace
var hubGroupName = empty(notificationHubResourceGroup) ? group.name : notificationHubResourceGroup

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
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
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    name: 'st${token}'
    location: location
    tags: tags
    appPrincipalId: identity.outputs.principalId
  }
}

module vault 'modules/key-vault.bicep' = {
  name: 'key-vault'
  scope: group
  params: {
    name: 'kv-${token}'
    location: location
    tags: tags
    appPrincipalId: identity.outputs.principalId
    deployerPrincipalId: principalId
  }
}

module database 'modules/database.bicep' = if (createDatabase) {
  name: 'database'
  scope: group
  params: {
    name: 'mongo-${token}'
    location: location
    tags: tags
    administratorPassword: databasePassword
    vaultName: vault.outputs.name
  }
}

module databaseSecret 'modules/secret.bicep' = if (!createDatabase && !empty(mongoDbConnectionString)) {
  name: 'database-secret'
  scope: group
  params: {
    vaultName: vault.outputs.name
    name: 'mongodb-connection-string'
    value: mongoDbConnectionString
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
  }
}

module hubAccess 'modules/notification-hub-access.bicep' = {
  name: 'notification-hub-access'
  scope: resourceGroup(hubGroupName)
  params: {
    namespaceName: hubNamespace
    hubName: notificationHubName
    vaultName: vault.outputs.name
    vaultGroup: group.name
  }
  dependsOn: [hub]
}

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
    hubName: notificationHubName
    overrides: settings
  }
  dependsOn: [database, databaseSecret, hubAccess]
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

// azd keeps these in the environment; the hooks read them.
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_KEY_VAULT_NAME string = vault.outputs.name
output AZURE_FUNCTION_APP_NAME string = app.outputs.name
output AZURE_FUNCTION_APP_ID string = app.outputs.id
output AZURE_STORAGE_ACCOUNT_ID string = storage.outputs.id
output COMMUNICATION_SERVICE_ID string = communicationServiceId
output DEAD_LETTER_CONTAINER string = storage.outputs.deadLetterContainer
output ACTION_GROUP_ID string = alerts.outputs.actionGroupId
output NOTIFICATION_HUB_NAMESPACE string = hubNamespace
output REGISTRAR_URL string = 'https://${app.outputs.hostName}/api'

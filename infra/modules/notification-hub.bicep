// A new hub. The credentials of APNs, FCM v1 and WNS are entered by hand afterwards; deploying this again could
// take them away, so the postprovision hook sees to it that it is deployed once.
param namespaceName string
param hubName string
param location string
param tags object

@allowed(['Free', 'Basic', 'Standard'])
@description('Standard tells which device tokens are dead; Free is for trying out.')
param tier string = 'Basic'

resource namespace 'Microsoft.NotificationHubs/namespaces@2023-09-01' = {
  name: namespaceName
  location: location
  tags: tags
  sku: { name: tier }
  properties: {
    namespaceType: 'NotificationHub'
    publicNetworkAccess: 'Enabled'
  }
}

resource hub 'Microsoft.NotificationHubs/namespaces/notificationHubs@2023-09-01' = {
  parent: namespace
  name: hubName
  location: location
  tags: tags
  properties: {}
}
